// expect(clang): temporary
// A token is a view of its source.
#include <weir/runtime/cancellation.hpp>

bool look() {
  weir::cancellation_token token = weir::cancellation_source().token();
  return token.is_cancellation_requested();
}
