// What file_programs.hpp has of weir.

#include "file_programs.hpp"

#include <weir/weir.hpp>

namespace bench {
namespace {

weir::task<> read_parts(weir::file& from, const file_plan& plan, std::span<std::byte> buffer, std::uint64_t seed,
                        std::uint64_t count, bool& right) {
  random_places places(plan, seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t place = places.next();
    const std::size_t n = co_await from.read_at(buffer, place * plan.size);
    right &= n == plan.size && is_part(buffer.data(), plan.size, place);
  }
}

weir::task<> read_deep(weir::file& from, const file_plan& plan, std::uint64_t count, bool& right) {
  weir::aligned_buffer buffers(reads_at_once * plan.size, {.registered = plan.registered});
  co_await weir::with_task_group([&](weir::task_group& group) -> weir::task<> {
    for (unsigned i = 0; i < reads_at_once; ++i) {
      const std::uint64_t part = count / reads_at_once + (i < count % reads_at_once ? 1 : 0);
      group.spawn(read_parts(from, plan, std::span(buffers).subspan(i * plan.size, plan.size), i + 1, part, right));
    }
    co_await group.join();
  });
}

weir::task<program_answer> reads(const file_plan& plan) {
  const auto mode = plan.direct ? weir::file_mode::read | weir::file_mode::direct : weir::file_mode::read;
  weir::file from = co_await weir::file::open(plan.file, mode);
  bool right = true;
  co_await read_deep(from, plan, plan.count / 10 + 1, right);
  const stopwatch watch;
  co_await read_deep(from, plan, plan.count, right);
  const auto count = static_cast<double>(plan.count);
  program_answer found{watch.wall_ns() / 1e3 / count, watch.process_cpu_ns() / 1e3 / count, right};
  co_return found;
}

weir::task<std::uint64_t> copy_once(const std::string& from, const std::string& to) {
  constexpr auto made_anew = weir::file_mode::write | weir::file_mode::create | weir::file_mode::truncate;
  weir::file source = co_await weir::file::open(from);
  weir::file target = co_await weir::file::open(to, made_anew);
  co_return co_await weir::copy(source, target);
}

weir::task<program_answer> copies(const file_plan& plan) {
  copy_meter meter(plan);
  for (std::uint64_t i = 0; i < plan.count; ++i) {
    meter.begin();
    const std::uint64_t copied = co_await copy_once(plan.file, meter.target());
    meter.end(copied);
  }
  program_answer found = meter.answer();
  co_return found;
}

}  // namespace

program_answer weir_reads(const file_plan& plan) { return weir::run(reads(plan), {.workers = 1}); }
program_answer weir_copies(const file_plan& plan) { return weir::run(copies(plan), {.workers = 1}); }

}  // namespace bench
