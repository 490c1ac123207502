// The best echo server that can be written on liburing without a runtime: the ceiling for weir.
// One thread, direct descriptors, multishot accept, and for each connection either
//   shared  multishot recv into a small ring of provided buffers, sent straight from the lease;
//   own     one recv into the connection's own buffer, then its send: what a coroutine does.
// Usage: raw_uring_echo [PORT] [shared|own]. Needs Linux 6.1. Ends on SIGINT or SIGTERM.

#include "error_text.hpp"
#include "listening_socket.hpp"
#include "next_entry.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

namespace {

constexpr unsigned queue_entries = 4096;
constexpr unsigned buffer_count = 256;  // about as many as are in use at once: they stay in the cache
constexpr unsigned buffer_size = 4096;
constexpr unsigned buffer_stride = 4160;  // not a multiple of 4096: no shared cache sets
constexpr unsigned most_connections = 16384;
constexpr std::uint16_t nothing = 0xffff;

enum class kind : std::uint64_t { accept, signal, receive, send, ignored };

struct connection {
  std::uint16_t oldest = nothing;  // leased buffers that wait to be sent; only the oldest is in flight
  std::uint16_t newest = nothing;
  std::uint32_t sent = 0;    // bytes of the oldest (or of the own buffer) that have gone
  std::uint32_t filled = 0;  // bytes in the own buffer
  bool receiving = false;
  bool sending = false;
  bool ending = false;
};

struct lease {
  std::uint32_t length = 0;
  std::uint16_t next = nothing;
};

class echo_server {
 public:
  echo_server(std::uint16_t port, bool own_buffers) : own_(own_buffers) {
    const unsigned table = static_cast<unsigned>(std::min<rlim_t>(bench::raise_open_files(), most_connections));
    connections_.resize(table);
    if (own_) own_buffers_.resize(table);
    set_up_ring(table);
    signals_ = bench::termination_signals();
    listener_ = bench::listen_on_loopback(port, 0);
  }
  ~echo_server() { io_uring_queue_exit(&ring_); }
  echo_server(const echo_server&) = delete;
  echo_server& operator=(const echo_server&) = delete;

  void run() {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_poll_add(sqe, signals_, POLLIN);
    name(sqe, kind::signal);
    arm_accept();
    while (!finished_) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        bench::fail("io_uring_enter", -result);
      io_uring_cqe* cqe = nullptr;
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        handle(*cqe);
      }
      io_uring_cq_advance(&ring_, seen);
      if (!own_) publish_returned_buffers();
    }
  }

 private:
  void set_up_ring(unsigned table) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                       IORING_SETUP_DEFER_TASKRUN;
    parameters.cq_entries = 4 * queue_entries;
    checked(io_uring_queue_init_params(queue_entries, &ring_, &parameters), "io_uring_setup");
    checked(io_uring_register_ring_fd(&ring_), "register the ring's descriptor");
    checked(io_uring_register_files_sparse(&ring_, table), "register the descriptor table");
    if (own_) return;

    const std::size_t ring_bytes = buffer_count * sizeof(io_uring_buf);
    const std::size_t bytes = ring_bytes + std::size_t{buffer_count} * buffer_stride;
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench::fail("mmap", errno);
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    storage_ = static_cast<std::byte*>(memory) + ring_bytes;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(buffers_);
    registration.ring_entries = buffer_count;
    checked(io_uring_register_buf_ring(&ring_, &registration, 0), "register the buffer ring");
    io_uring_buf_ring_init(buffers_);
    for (unsigned i = 0; i < buffer_count; ++i) give_back(static_cast<std::uint16_t>(i));
    publish_returned_buffers();
  }

  static int checked(int result, const char* operation) {
    if (result < 0) bench::fail(operation, -result);
    return result;
  }

  io_uring_sqe* next_sqe() { return bench::next_entry(ring_); }

  // Every entry passes here after its prep call: entries are reused with their old user_data in them.
  static std::uint64_t name_of(kind what, unsigned slot) {
    return static_cast<std::uint64_t>(slot) << 8 | static_cast<std::uint64_t>(what);
  }
  static void name(io_uring_sqe* sqe, kind what, unsigned slot = 0) { sqe->user_data = name_of(what, slot); }

  void arm_accept() {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_multishot_accept_direct(sqe, listener_, nullptr, nullptr, 0);
    name(sqe, kind::accept);
  }

  void arm_receive(unsigned slot) {
    connection& peer = connections_[slot];
    peer.receiving = true;
    io_uring_sqe* sqe = next_sqe();
    if (own_) {
      io_uring_prep_recv(sqe, static_cast<int>(slot), own_buffers_[slot].get(), buffer_size, 0);
    } else {
      io_uring_prep_recv_multishot(sqe, static_cast<int>(slot), nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = 0;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    name(sqe, kind::receive, slot);
  }

  void arm_send(unsigned slot) {
    connection& peer = connections_[slot];
    peer.sending = true;
    const std::byte* from = own_ ? own_buffers_[slot].get() : buffer(peer.oldest);
    const std::uint32_t length = own_ ? peer.filled : leases_[peer.oldest].length;
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_send(sqe, static_cast<int>(slot), from + peer.sent, length - peer.sent, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    name(sqe, kind::send, slot);
  }

  void handle(const io_uring_cqe& cqe) {
    const auto slot = static_cast<unsigned>(cqe.user_data >> 8);
    switch (static_cast<kind>(cqe.user_data & 0xff)) {
      case kind::accept:
        return accepted(cqe);
      case kind::receive:
        return own_ ? received_own(slot, cqe) : received_shared(slot, cqe);
      case kind::send:
        return sent(slot, cqe);
      case kind::signal:
        finished_ = true;
        return;
      case kind::ignored:
        return;
    }
  }

  void accepted(const io_uring_cqe& cqe) {
    if (cqe.res >= 0) {
      const auto slot = static_cast<unsigned>(cqe.res);
      connections_[slot] = connection{};
      if (own_) own_buffers_[slot] = std::make_unique_for_overwrite<std::byte[]>(buffer_stride);
      arm_receive(slot);
    } else {
      fmt::print(stderr, "accept: {}\n", bench::error_text(-cqe.res));
    }
    // A full table loses each further connection, so accepting rests until a slot comes free.
    accepting_ = (cqe.flags & IORING_CQE_F_MORE) != 0;
    if (!accepting_ && cqe.res != -ENFILE) resume_accepting();
  }

  void resume_accepting() {
    accepting_ = true;
    arm_accept();
  }

  void received_own(unsigned slot, const io_uring_cqe& cqe) {
    connection& peer = connections_[slot];
    peer.receiving = false;
    if (cqe.res <= 0) return end(slot);
    peer.filled = static_cast<std::uint32_t>(cqe.res);
    peer.sent = 0;
    arm_send(slot);
  }

  void received_shared(unsigned slot, const io_uring_cqe& cqe) {
    connection& peer = connections_[slot];
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {  // an id may come with an error or with the end
      --free_buffers_;
      const auto id = static_cast<std::uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
      if (cqe.res > 0 && !peer.ending) {
        leases_[id] = {static_cast<std::uint32_t>(cqe.res), nothing};
        (peer.oldest == nothing ? peer.oldest : leases_[peer.newest].next) = id;
        peer.newest = id;
        if (!peer.sending) arm_send(slot);
      } else {
        give_back(id);
      }
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
    peer.receiving = false;  // the last completion, whatever its result is
    if (peer.ending || (cqe.res <= 0 && cqe.res != -ENOBUFS)) return end(slot);
    if (cqe.res == -ENOBUFS) {
      starved_.push_back(slot);  // armed again when a buffer comes back: at once would spin
    } else {
      arm_receive(slot);
    }
  }

  void sent(unsigned slot, const io_uring_cqe& cqe) {
    connection& peer = connections_[slot];
    peer.sending = false;
    if (cqe.res < 0) {
      while (peer.oldest != nothing) drop_oldest(peer);
      if (peer.receiving && !peer.ending) {
        io_uring_sqe* sqe = next_sqe();
        io_uring_prep_cancel64(sqe, name_of(kind::receive, slot), 0);
        name(sqe, kind::ignored);
      }
      return end(slot);
    }
    peer.sent += static_cast<std::uint32_t>(cqe.res);
    const std::uint32_t length = own_ ? peer.filled : leases_[peer.oldest].length;
    if (peer.sent < length) return arm_send(slot);
    if (own_) return arm_receive(slot);
    drop_oldest(peer);
    if (peer.oldest != nothing) {
      arm_send(slot);
    } else if (peer.ending) {
      end(slot);
    }
  }

  // Closes when nothing of the connection is in flight: until then its slot must not be given away.
  void end(unsigned slot) {
    connection& peer = connections_[slot];
    peer.ending = true;
    if (peer.receiving || peer.sending) return;
    std::erase(starved_, slot);
    if (own_) own_buffers_[slot].reset();
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_close_direct(sqe, slot);
    name(sqe, kind::ignored);
    if (!accepting_) resume_accepting();
  }

  std::byte* buffer(std::uint16_t id) const { return storage_ + std::size_t{id} * buffer_stride; }

  void drop_oldest(connection& peer) {
    const std::uint16_t id = peer.oldest;
    peer.oldest = leases_[id].next;
    peer.sent = 0;
    give_back(id);
  }

  void give_back(std::uint16_t id) {
    io_uring_buf_ring_add(buffers_, buffer(id), buffer_size, id, io_uring_buf_ring_mask(buffer_count),
                          static_cast<int>(returned_++));
  }

  void publish_returned_buffers() {
    if (returned_ == 0) return;
    io_uring_buf_ring_advance(buffers_, static_cast<int>(returned_));
    free_buffers_ += returned_;
    returned_ = 0;
    const std::size_t n = std::min<std::size_t>(free_buffers_, starved_.size());
    for (std::size_t i = 0; i < n; ++i) arm_receive(starved_[i]);
    starved_.erase(starved_.begin(), starved_.begin() + static_cast<std::ptrdiff_t>(n));
  }

  io_uring ring_{};
  bool own_;
  bool accepting_ = true;
  bool finished_ = false;
  int signals_ = -1;
  int listener_ = -1;
  std::vector<connection> connections_;                    // by slot
  std::vector<std::unique_ptr<std::byte[]>> own_buffers_;  // by slot
  io_uring_buf_ring* buffers_ = nullptr;
  std::byte* storage_ = nullptr;
  std::array<lease, buffer_count> leases_{};
  unsigned returned_ = 0;      // given back in this turn, not yet visible to the kernel
  unsigned free_buffers_ = 0;  // what the kernel may still take
  std::vector<unsigned> starved_;
};

static_assert(std::has_single_bit(buffer_count));

}  // namespace

int main(int argc, char** argv) {
  try {
    echo_server(bench::port_argument(argc, argv), argc > 2 && std::string_view(argv[2]) == "own").run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "raw_uring_echo: {}\n", e.what());
    return 1;
  }
}
