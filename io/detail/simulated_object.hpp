#pragma once

#include <vector>

namespace weir::detail {

class io_leaf;

/// What a simulated descriptor number stands for.
class simulated_object {
 public:
  simulated_object() = default;
  simulated_object(const simulated_object&) = delete;
  simulated_object& operator=(const simulated_object&) = delete;
  virtual ~simulated_object() = default;

  /// Its number is given back. Nobody waits any more.
  virtual void close() noexcept = 0;
  /// All that poll(2) could tell of it. Files never wait.
  [[nodiscard]] virtual unsigned ready() const;

  // The reactor's: the operations that wait for it, and whether they are to be tried.
  std::vector<io_leaf*> waiting;
  bool touched = false;
};

}  // namespace weir::detail
