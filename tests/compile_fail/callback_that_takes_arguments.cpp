// expect: cancellation_callback
#include <weir/runtime/cancellation.hpp>

void watch(weir::cancellation_source& s) {
  auto wrong = [](int) {};
  weir::cancellation_callback callback(s.token(), wrong);
}
