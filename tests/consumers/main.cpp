#include <weir/runtime/runtime.hpp>
#include <weir/runtime/task.hpp>

weir::task<int> answer() { co_return 42; }

int main() { return weir::run(answer()) == 42 ? 0 : 1; }
