#include "close_elsewhere.hpp"

#include <new>

#include "../../runtime/detail/offload_pool.hpp"
#include "../../runtime/detail/worker.hpp"
#include "system_calls.hpp"

namespace weir::detail {

namespace {

/// Owns itself once it was submitted.
class closing final : public offload_job {
 public:
  explicit closing(int number) noexcept : number_(number) {}
  void run() noexcept override {
    system_calls::close(number_);
    delete this;
  }

 private:
  const int number_;
};

}  // namespace

void close_elsewhere(int number) noexcept {
  if (worker* const here = current_worker()) {
    if (auto* const job = new (std::nothrow) closing(number)) {
      if (here->core().offloads().submit(*job)) return;
      delete job;
    }
  }
  system_calls::close(number);
}

}  // namespace weir::detail
