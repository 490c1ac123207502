#include "log_pipeline.hpp"

#include "stopwatch.hpp"
#include "weir_library.hpp"

#include <weir/weir.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t user_count = 1000;

/// Three levels in turn, from a thousand users.
std::string log_line(std::uint64_t number) {
  constexpr std::string_view levels[] = {"INFO", "WARN", "ERROR"};
  return fmt::format(R"({{"level":"{}","user":"user-{}","message":"request {} has been answered"}})",
                     levels[number % 3], number % user_count, number);
}

struct log_record {
  std::string level;
  std::string user;
  std::string message;
  bool valid = false;
};

/// Of a flat object of strings without escapes, which is what the source makes.
std::string member_of(std::string_view object, std::string_view name) {
  const std::size_t found = object.find(name);
  if (found == std::string_view::npos) throw std::runtime_error(fmt::format("no {} in {}", name, object));
  const std::size_t begin = found + name.size();
  return std::string(object.substr(begin, object.find('"', begin) - begin));
}

log_record parse(const std::string& line) {
  return {member_of(line, R"("level":")"), member_of(line, R"("user":")"), member_of(line, R"("message":")")};
}
log_record validate(log_record record) {
  record.valid = !record.level.empty() && !record.user.empty() && !record.message.empty();
  return record;
}
bool is_valid(const log_record& record) { return record.valid; }
log_record enrich(log_record record) {
  record.message += record.level == "ERROR" ? " [alert]" : " [ok]";
  return record;
}

/// What the writers have stored.
struct log_totals {
  std::mutex mutex;
  std::uint64_t processed = 0;
  std::uint64_t errors = 0;
  std::unordered_set<std::string> users;
};

class store_log {
 public:
  explicit store_log(log_totals& into) : into_(into) {}

  weir::task<> operator()(log_record record) const {
    co_await weir::sleep_for(100us);
    const std::lock_guard lock(into_.mutex);
    ++into_.processed;
    if (record.level == "ERROR") ++into_.errors;
    into_.users.insert(std::move(record.user));
  }

 private:
  log_totals& into_;
};

weir::task<bool> process(std::uint64_t logs) {
  log_totals found;
  const weir::transform_options four{.workers = 4, .buffer = 100};
  const weir::for_each_options two{.workers = 2, .buffer = 100};
  const store_log store(found);
  const auto lines = std::views::iota(std::uint64_t{0}, logs) | std::views::transform(log_line);
  co_await (weir::from(lines) | weir::transform(&parse, four) | weir::transform(&validate, four) |
            weir::filter(&is_valid) | weir::transform(&enrich, four) | weir::for_each(store, two));
  co_return found.processed == logs&& found.errors == logs / 3 && found.users.size() == std::min(logs, user_count);
}

}  // namespace

case_sample run_log_pipeline(std::uint64_t logs, column how, std::chrono::nanoseconds spin) {
  weir::runtime_options options = weir_options(how);
  options.spin = spin;
  const stopwatch watch;
  const bool right = weir::run(process(logs), options);
  return {.value = watch.wall_ns() / 1e9, .right = right};
}

}  // namespace bench
