#include <doctest/doctest.h>

#include <array>
#include <utility>

#include <weir/io/detail/leaf_queue.hpp>
#include <weir/io/operations/send.hpp>

TEST_CASE("leaf queue: first come, first served, and each may leave from where it stands") {
  using weir::detail::leaf_queue;
  using operation = weir::detail::send_operation;
  std::array ops = {operation(nullptr, {}), operation(nullptr, {}), operation(nullptr, {}), operation(nullptr, {})};
  leaf_queue queue;
  CHECK(queue.empty());
  CHECK(queue.pop() == nullptr);
  for (operation& op : ops) queue.push(op);
  CHECK(queue.first() == &ops[0]);
  queue.remove(ops[2]);
  queue.remove(ops[0]);
  CHECK(queue.pop() == &ops[1]);
  queue.push(ops[0]);
  leaf_queue moved = std::move(queue);
  CHECK(queue.empty());
  CHECK(moved.pop() == &ops[3]);
  CHECK(moved.first() == &ops[0]);
  moved.remove(ops[0]);
  CHECK(moved.empty());
  for (const operation& op : ops) CHECK(op.next_waiting == nullptr);
}
