#pragma once

#include <utility>

#include "../../runtime/task.hpp"
#include "../../runtime/task_group.hpp"

namespace weir::detail {

/// A running pipeline: where its stages spawn, and keep what must outlive their tasks.
class pipeline_run {
 public:
  pipeline_run() = default;
  pipeline_run(const pipeline_run&) = delete;
  pipeline_run& operator=(const pipeline_run&) = delete;
  ~pipeline_run();

  void begin(task_group& group) noexcept { group_ = &group; }
  [[nodiscard]] task_group& group() const noexcept { return *group_; }

  void spawn(task<> work);

  /// An object that lives until all tasks of the pipeline are joined.
  template <class T, class... Args>
  T& keep(Args&&... args) {
    auto* const made = new kept_object<T>(std::forward<Args>(args)...);
    append(*made);
    return made->object;
  }

 private:
  // A list of their own, and not of smart pointers: those would be compiled for each kind of object.
  struct kept {
    kept() = default;
    kept(const kept&) = delete;
    kept& operator=(const kept&) = delete;
    virtual ~kept() = default;
    kept* next = nullptr;
  };
  template <class T>
  struct kept_object final : kept {
    template <class... Args>
    explicit kept_object(Args&&... args) : object(std::forward<Args>(args)...) {}
    T object;
  };
  void append(kept& made) noexcept;

  task_group* group_ = nullptr;
  kept* first_ = nullptr;
  kept** end_ = &first_;
};

}  // namespace weir::detail
