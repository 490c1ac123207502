// A pipeline over a file: its lines are parsed on four workers, the bad ones dropped, the good ones gathered into
// batches and added up. A second task tells how far it is. Only a few hundred lines are in memory at any time.
//
// Usage: pipeline
// It makes its own input, in a temporary file.

#include <weir/weir.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

constexpr int line_count = 100'000;

struct sale {
  int shop = -1;  // below 0: the line was not one
  int cents = 0;
};

sale parse(const std::string& line) {
  sale s;
  const char* const end = line.data() + line.size();
  const auto shop = std::from_chars(line.data(), end, s.shop);
  if (shop.ec != std::errc{} || shop.ptr == end || *shop.ptr != ' ') return {};
  if (std::from_chars(shop.ptr + 1, end, s.cents).ec != std::errc{}) return {};
  return s;
}

weir::task<> write_input(std::string path) {
  weir::file output =
      co_await weir::file::open(path, weir::file_mode::write | weir::file_mode::create | weir::file_mode::truncate);
  weir::buffered_writer writer{output};
  for (int i = 0; i < line_count; ++i) {
    const std::string line = i % 100 == 99 ? std::string("not a sale\n") : fmt::format("{} {}\n", i % 7, i % 1000);
    co_await writer.write(line);
  }
  co_await writer.flush();
}

weir::task<> tell_progress(const weir::stage_counters& parsed) {
  for (;;) {
    co_await weir::sleep_for(20ms);
    fmt::print("{} of {} lines\n", parsed.in(), line_count);
  }
}

weir::task<std::map<int, long>> add_up(weir::file& input, weir::stage_counters& parsed) {
  std::map<int, long> cents_per_shop;
  auto add = [&](const std::vector<sale>& sales) {  // one batch after another: no lock is needed
    for (const sale& s : sales) cents_per_shop[s.shop] += s.cents;
  };
  co_await (weir::from(weir::lines(input))                                                //
            | weir::transform(parse, {.workers = 4, .buffer = 100, .counters = &parsed})  //
            | weir::filter([](const sale& s) { return s.shop >= 0; })                     //
            | weir::batch(256, 50ms)                                                      //
            | weir::for_each(add));
  co_return cents_per_shop;
}

weir::task<int> async_main(std::string path) {
  co_await write_input(path);
  weir::file input = co_await weir::file::open(path);
  weir::stage_counters parsed{"parse"};
  auto first = co_await weir::when_any(add_up(input, parsed), tell_progress(parsed));  // progress ends with the work
  long expected = 0;
  for (int i = 0; i < line_count; ++i) expected += i % 100 == 99 ? 0 : i % 1000;
  long total = 0;
  for (const auto& [shop, cents] : first.get<0>()) {
    fmt::print("shop {}: {} cents\n", shop, cents);
    total += cents;
  }
  fmt::print("{} lines, {} cents\n", parsed.in(), total);
  const bool right = total == expected && parsed.in() == line_count;
  co_return right ? 0 : 1;
}

int main() {
  const std::string path = fmt::format("/tmp/weir-pipeline-{}.txt", getpid());
  const int status = weir::run(async_main(path));
  static_cast<void>(std::remove(path.c_str()));
  return status;
}
