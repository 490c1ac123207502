#include <weir/io/tls_context.hpp>
#include <weir/runtime/runtime.hpp>
#include <weir/runtime/task.hpp>

weir::task<> nothing(weir::tls_context) { co_return; }

int main() { weir::run(nothing(weir::tls_context::client())); }
