// expect: no matching
#include <weir/runtime/task_group.hpp>

auto group() {
  auto body = [](weir::task_group&) { return 3; };
  return weir::with_task_group(body);
}
