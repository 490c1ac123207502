// expect: can only be awaited in a weir::task
// The same for leaves and scopes.
#include <coroutine>

#include <weir/runtime/sleep.hpp>
#include <weir/runtime/with_timeout.hpp>

struct foreign {
  struct promise_type {
    foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

foreign other() { co_await weir::with_timeout(std::chrono::seconds(1), weir::sleep_for(std::chrono::seconds(2))); }
