#include <weir/runtime/prometheus.hpp>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>

#include "skip.hpp"
#include "support.hpp"

namespace {

std::string text_of_a_real_runtime() {
  weir::runtime rt{{.workers = 2}};
  auto main = []() -> weir::task<> {
    co_await weir::sleep_for(1ms);
    auto job = [] {};
    co_await weir::offload(job);
  };
  rt.block_on(main());
  return weir::prometheus_text(rt.counters(), {{"service", "a \"quoted\"\\\n name"}, {"zone", "1"}});
}

}  // namespace

TEST_CASE("prometheus_text has HELP and TYPE once for each metric, before its samples, and a sample per worker") {
  std::istringstream lines(text_of_a_real_runtime());
  std::set<std::string> announced;
  std::string current;
  std::string line;
  int samples_of_current = 0;
  bool seen_worker_1 = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("# HELP ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      CHECK(announced.insert(current).second);
      samples_of_current = 0;
    } else if (line.starts_with("# TYPE ")) {
      const bool counts = current.ends_with("_total");
      CHECK(line == "# TYPE " + current + (counts ? " counter" : " gauge"));
    } else {
      ++samples_of_current;
      CHECK(line.starts_with(current + "{"));
      CHECK(line.find("service=\"a \\\"quoted\\\"\\\\\\n name\",zone=\"1\"}") != std::string::npos);
      seen_worker_1 = seen_worker_1 || line.starts_with("weir_turns_total{worker=\"1\",");
    }
    CHECK(samples_of_current <= 3);
  }
  CHECK(announced.contains("weir_tasks_spawned_total"));
  CHECK(announced.contains("weir_worker_cpu_seconds_total"));
  CHECK(announced.contains("weir_offload_jobs_total"));
  CHECK(seen_worker_1);
}

TEST_CASE("prometheus_text without labels has none where no worker is named") {
  weir::runtime_counters none;
  CHECK(weir::prometheus_text(none).find("\nweir_tasks 0\n") != std::string::npos);
}

TEST_CASE("promtool finds nothing to say against prometheus_text") {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    skip("promtool is not installed (Debian's package prometheus)");
    return;
  }
  std::FILE* const promtool = popen("promtool check metrics", "w");
  REQUIRE(promtool);
  const std::string text = text_of_a_real_runtime();
  CHECK(std::fwrite(text.data(), 1, text.size(), promtool) == text.size());
  CHECK(pclose(promtool) == 0);
}
