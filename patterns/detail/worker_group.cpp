#include "worker_group.hpp"

#include "../../runtime/task_group.hpp"

namespace weir::detail {

task<> run_workers(std::size_t workers, void* shared, worker_function make) {
  auto spawn_all = [&](task_group& group) -> task<> {
    for (std::size_t i = 0; i < workers; ++i) group.spawn(make(shared, i));
    co_await group.join();  // or a stop of them all would look like their end
  };
  co_await with_task_group(spawn_all);
}

}  // namespace weir::detail
