// expect: deleted
// Callbacks stand in their source's list.
#include <functional>

#include <weir/runtime/cancellation.hpp>

void twice(weir::cancellation_callback<std::function<void()>>& c) {
  weir::cancellation_callback<std::function<void()>> copy = c;
}
