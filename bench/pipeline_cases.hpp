#pragma once
// A pipeline of five stages that do next to nothing: what an item costs on its way. See sync_cases.hpp for what a case
// is; peers/patterns.go is the same with Go's channels.

#include "sync_cases.hpp"

#include <weir/weir.hpp>

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <utility>

namespace bench {

struct number_record {
  std::uint64_t number;
  std::uint64_t value;
};

/// Numbers are made records, every tenth is left out, the others get a value, which is added up. An operation is one
/// number. `queued`: each stage has a task of its own and a queue of 100 before it, otherwise one task does all of it.
template <bool queued>
class pipeline_case : public counted_case {
 public:
  template <class Spawn>
  void start(std::uint64_t operations, Spawn spawn) {
    const std::uint64_t left_out = (operations + 9) / 10;
    std::uint64_t& sum = expect(3 * (sum_of(0, operations) - 10 * sum_of(0, left_out)) + 7 * (operations - left_out));
    spawn(run(operations, sum));
  }

 private:
  static number_record parse(std::uint64_t number) { return {number, 3 * number}; }
  static bool is_wanted(const number_record& record) { return record.number % 10 != 0; }
  static number_record enrich(number_record record) { return {record.number, record.value + 7}; }

  static weir::task<> run(std::uint64_t count, std::uint64_t& into) {
    std::uint64_t sum = 0;
    const auto add = [&sum](const number_record& record) { sum += record.value; };
    const auto numbers = std::views::iota(std::uint64_t{0}, count);
    if constexpr (queued) {
      const weir::transform_options own{.workers = 1, .buffer = 100};
      co_await (weir::from(numbers) | weir::transform(&parse, own) | weir::filter(&is_wanted) |
                weir::transform(&enrich, own) | weir::for_each(add));
    } else {
      co_await (weir::from(numbers) | weir::transform(&parse) | weir::filter(&is_wanted) | weir::transform(&enrich) |
                weir::for_each(add));
    }
    into += sum;
  }
};

}  // namespace bench
