// expect: mutex(const mutex&) = delete
#include <weir/sync/mutex.hpp>

struct account {
  weir::mutex lock;
  long balance = 0;
};

account copy(const account& other) { return other; }
weir::mutex copy(const weir::mutex& other) { return other; }
