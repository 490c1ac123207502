// Exit 0: io_uring works for this process. Exit 1: it does not, and one line says which call was refused.
#include <liburing.h>

#include <cstdio>
#include <cstring>

namespace {

int refused(const char* call, int result) {
  std::printf("%s: %s\n", call, std::strerror(-result));
  return 1;
}

}  // namespace

int main() {
  io_uring ring;
  if (int result = io_uring_queue_init(8, &ring, 0); result < 0) return refused("io_uring_setup", result);
  // A filter may allow the set-up and refuse the rest.
  io_uring_prep_nop(io_uring_get_sqe(&ring));
  if (int result = io_uring_submit_and_wait(&ring, 1); result < 0) return refused("io_uring_enter", result);
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return refused("io_uring_register", -EPERM);
  io_uring_free_probe(probe);
  io_uring_queue_exit(&ring);
  return 0;
}
