// The cheapest load engine: multishot receive into a few provided buffers that are checked and
// given back at once, sends straight from the pattern, one system call for each batch.

#include "error_text.hpp"
#include "load_session.hpp"

#include <liburing.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>

namespace bench {
namespace {

constexpr unsigned buffer_count = 64;
constexpr unsigned buffer_size = 4096;
constexpr unsigned buffer_stride = 4160;  // not a multiple of 4096: no shared cache sets

class uring_engine {
 public:
  explicit uring_engine(load_session& session) : session_(session), peers_(session.size()) {}

  ~uring_engine() {
    if (!ready_) return;
    // The end of a ring is asynchronous; cancelled first, no receive writes into freed buffers.
    io_uring_sync_cancel_reg all{};
    all.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    all.timeout = {-1, -1};
    io_uring_register_sync_cancel(&ring_, &all);
    io_uring_queue_exit(&ring_);
  }
  uring_engine(const uring_engine&) = delete;
  uring_engine& operator=(const uring_engine&) = delete;

  bool set_up() {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                       IORING_SETUP_DEFER_TASKRUN;
    const auto entries = static_cast<unsigned>(std::bit_ceil(std::clamp<std::size_t>(2 * peers_.size(), 64, 4096)));
    parameters.cq_entries = 4 * entries;
    if (io_uring_queue_init_params(entries, &ring_, &parameters) < 0) return false;
    ready_ = true;
    io_uring_register_ring_fd(&ring_);  // saves a little; not needed

    std::vector<int> descriptors(session_.size());
    for (std::size_t i = 0; i < session_.size(); ++i) descriptors[i] = session_.descriptor(i);
    if (io_uring_register_files(&ring_, descriptors.data(), static_cast<unsigned>(descriptors.size())) < 0)
      return false;

    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory_->ring.data());
    registration.ring_entries = buffer_count;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) < 0) return false;
    io_uring_buf_ring_init(buffers());
    for (unsigned i = 0; i < buffer_count; ++i) give_back(i);
    publish_returned_buffers();
    return true;
  }

  void run() {
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      arm_receive(i);
      send_owed(i);
    }
    while (!session_.finished()) {
      __kernel_timespec limit{.tv_sec = 0, .tv_nsec = 50'000'000};  // so that phases end in silence too
      io_uring_cqe* cqe = nullptr;
      const int result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &limit, nullptr);
      if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY)
        throw std::runtime_error(std::string("load client: io_uring_enter: ") + error_text(-result));
      session_.begin_turn();
      unsigned head = 0;
      unsigned seen = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++seen;
        const auto index = static_cast<std::size_t>(cqe->user_data >> 1);
        if ((cqe->user_data & 1) != 0) {
          sent(index, cqe->res);
        } else {
          received(index, *cqe);
        }
      }
      io_uring_cq_advance(&ring_, seen);
      publish_returned_buffers();
    }
  }

 private:
  struct alignas(4096) memory {
    std::array<io_uring_buf, buffer_count> ring;
    std::array<std::byte, std::size_t{buffer_count} * buffer_stride> storage;
  };
  struct peer {
    bool sending = false;  // two sends in flight on one socket may interleave
  };

  io_uring_buf_ring* buffers() const { return reinterpret_cast<io_uring_buf_ring*>(memory_->ring.data()); }
  std::byte* buffer(unsigned id) const { return memory_->storage.data() + std::size_t{id} * buffer_stride; }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  void arm_receive(std::size_t index) {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, static_cast<int>(index), nullptr, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->user_data = index << 1;
  }

  void send_owed(std::size_t index) {
    const std::span<const std::byte> bytes = session_.to_send(index);
    if (bytes.empty() || peers_[index].sending) return;
    peers_[index].sending = true;
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_send(sqe, static_cast<int>(index), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = index << 1 | 1;
  }

  void sent(std::size_t index, int result) {
    peers_[index].sending = false;
    if (result < 0) return session_.ended(index, -result, "send");
    session_.sent(index, static_cast<std::size_t>(result));
    send_owed(index);
  }

  void received(std::size_t index, const io_uring_cqe& cqe) {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
      const unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
      if (cqe.res > 0) session_.received(index, {buffer(id), static_cast<std::size_t>(cqe.res)});
      give_back(id);
      send_owed(index);
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
    if (cqe.res > 0 || cqe.res == -ENOBUFS) {
      arm_receive(index);  // every buffer is back before the kernel sees this
    } else {
      session_.ended(index, -cqe.res, "receive");
    }
  }

  void give_back(unsigned id) {
    io_uring_buf_ring_add(buffers(), buffer(id), buffer_size, static_cast<unsigned short>(id),
                          io_uring_buf_ring_mask(buffer_count), static_cast<int>(returned_++));
  }

  void publish_returned_buffers() {
    io_uring_buf_ring_advance(buffers(), static_cast<int>(returned_));
    returned_ = 0;
  }

  load_session& session_;
  std::vector<peer> peers_;
  std::unique_ptr<memory> memory_ = std::make_unique<memory>();
  io_uring ring_{};
  bool ready_ = false;
  unsigned returned_ = 0;
};

}  // namespace

bool load_uring(load_session& session) {
  uring_engine e(session);
  if (!e.set_up()) return false;
  e.run();
  return true;
}

}  // namespace bench
