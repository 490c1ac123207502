// expect: can only be awaited in a weir::task
// Another library's coroutine has no worker, no token and no frame that a stop could destroy.
#include <coroutine>

#include <weir/runtime/task.hpp>

struct foreign {
  struct promise_type {
    foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

weir::task<> work();

foreign other() { co_await work(); }
