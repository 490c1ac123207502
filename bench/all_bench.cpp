#include "all_bench.hpp"

#include "benchmark_page.hpp"
#include "command_line.hpp"
#include "error_text.hpp"
#include "json.hpp"
#include "json_value.hpp"
#include "measured.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace bench {
namespace {

struct part {
  const char* group;      // its heading
  const char* against;    // what its rows are values of, where that is not said by them
  const char* arguments;  // rounds chosen so that all of them take 15 to 20 minutes
  const char* smoke;
};

constexpr const char* sizes_group = "Echo over TCP, by the size of a message (64 connections)";

constexpr std::array parts{
    part{"Echo over TCP, by the number of connections (64 B)", "connections",
         "echo --connections 1,8,64,512,4000 --seconds 0.4 --repeats 5", "echo --connections 1,8 --smoke"},
    part{sizes_group, "size", "echo --connections 64 --size 64 --seconds 0.4 --repeats 3", ""},
    part{sizes_group, "size", "echo --connections 64 --size 4096 --seconds 0.4 --repeats 3",
         "echo --connections 8 --size 4096 --smoke"},
    part{sizes_group, "size", "echo --connections 64 --size 65536 --seconds 0.4 --repeats 3", ""},
    part{"Echo over TCP, 16 requests under way on each connection", "connections",
         "echo --connections 64 --depth 16 --seconds 0.4 --repeats 3", ""},
    part{"One connection, with workers that spin", "connections", "latency --seconds 0.4 --repeats 5",
         "latency --smoke"},
    part{"Memory for an idle connection", "", "idle", "idle --smoke"},
    part{"Sockets and files", "", "io --repeats 5", "io --smoke"},
    part{"Tasks, turns, timers, locks", "", "runtime --repeats 5", "runtime --smoke"},
    part{"Channels, events, limiters", "", "sync --repeats 5", "sync --smoke"},
    part{"Pipelines and pools", "", "patterns --repeats 3", "patterns --smoke"},
    part{"Stopping a task, by the frames that it has", "", "cancellation --repeats 5", "cancellation --smoke"},
};

std::string first_line(const std::string& command) {
  std::FILE* const output = popen(fmt::format("({}) 2>/dev/null", command).c_str(), "r");
  if (output == nullptr) return {};
  std::array<char, 256> line{};
  std::string text = std::fgets(line.data(), static_cast<int>(line.size()), output) != nullptr ? line.data() : "";
  pclose(output);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// What the figures depend on: by name, and what is not there without it.
std::string machine_json(const std::string& revision) {
  constexpr std::array<std::pair<const char*, const char*>, 12> questions{{
      {"processor", "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1"},
      {"processors", "nproc"},
      {"memory", "awk '/^MemTotal/ {printf \"%.0f MiB\", $2 / 1024}' /proc/meminfo"},
      {"kernel", "uname -sr"},
      {"system", ". /etc/os-release && echo \"$PRETTY_NAME\""},
      // Not the load of the last minute, in which this was compiled.
      {"busy before",
       "{ head -n 1 /proc/stat; sleep 2; head -n 1 /proc/stat; } | awk '"
       "{ idle = $5 + $6; all = 0; for (i = 2; i < 10; ++i) all += $i }"
       "NR == 1 { idle_then = idle; all_then = all }"
       "END { printf \"%.0f %% of its processors\", 100 * (1 - (idle - idle_then) / (all - all_then)) }'"},
      {"liburing", "dpkg-query -W -f '${Version}' liburing-dev"},
      {"OpenSSL", "openssl version"},
      {"Asio", "dpkg-query -W -f '${Version}' libasio-dev"},
      {"Go", "go version"},
      {"Tokio", "dpkg-query -W -f '${Version}' librust-tokio-dev"},
      {"fio", "fio --version"},
  }};
  std::string out = "{\"compiler\": " + json_string(__VERSION__);
  if (!revision.empty()) out += ", \"weir\": " + json_string(revision);
  for (const auto& [name, command] : questions) {
    const std::string answer = first_line(command);
    if (!answer.empty()) out += fmt::format(", {}: {}", json_string(name), json_string(answer));
  }
  return out + "}";
}

/// Runs this program with these arguments, and returns its exit status.
int run_self(const std::vector<std::string>& arguments) {
  std::vector<std::string> texts{"/proc/self/exe"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  pid_t child = -1;
  const int error = posix_spawn(&child, program.c_str(), nullptr, nullptr, pointers.data(), environ);
  if (error != 0) throw std::runtime_error(fmt::format("start {}: {}", program, error_text(error)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class temporary_file {
 public:
  temporary_file() {
    const int fd = mkstemp(path_.data());
    if (fd < 0) throw std::runtime_error("cannot make " + path_);
    close(fd);
  }
  ~temporary_file() { unlink(path_.c_str()); }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_ = "/tmp/weir_bench.XXXXXX";
};

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    words.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

void write_page(const std::string& json, const std::string& docs) {
  const benchmark_page page = page_of(json_value::parse(json));
  std::filesystem::create_directories(docs + "/benchmarks");
  write_file(docs + "/benchmarks.md", page.text);
  for (const auto& [name, svg] : page.pictures) write_file(fmt::format("{}/{}", docs, name), svg);
}

}  // namespace

int run_all(const all_options& options) {
  using clock = std::chrono::steady_clock;
  const auto begin = clock::now();
  const auto seconds_since = [](clock::time_point then) {
    return std::chrono::duration<double>(clock::now() - then).count();
  };
  const std::string machine = machine_json(options.revision);
  const std::string date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  std::string json;
  int status = 0;
  for (const part& p : parts) {
    std::vector<std::string> arguments = words_of(options.smoke ? p.smoke : p.arguments);
    if (arguments.empty()) continue;
    const auto number = static_cast<std::size_t>(&p - parts.data()) + 1;
    show_progress(fmt::format("\n== {}/{} at {:.0f} s: bench {}\n", number, parts.size(), seconds_since(begin),
                              fmt::join(arguments, " ")));
    const temporary_file file;
    const std::string asked = fmt::format("{}", fmt::join(arguments, " "));
    arguments.insert(arguments.end(), {"--json", file.path()});
    const auto part_begin = clock::now();
    const int ended = run_self(arguments);
    if (ended != 0) {
      status = 1;
      show_progress(fmt::format("FAILED: bench {}: status {}", asked, ended));
    }
    std::string result = read_text(file.path());
    if (result.empty()) result = "null";
    json += fmt::format(
        R"({}{{"group": {}, "against": {}, "arguments": {}, "status": {}, "seconds": {:.1f}, "result": {}}})",
        json.empty() ? "" : ",\n", json_string(p.group), json_string(p.against), json_string(asked), ended,
        seconds_since(part_begin), result);
  }
  json = fmt::format(
      "{{\"bench\": \"all\", \"smoke\": {}, \"date\": {}, \"seconds\": {:.0f}, \"machine\": {},\n\"parts\": [{}]}}\n",
      options.smoke, json_string(date), seconds_since(begin), machine, json);
  if (!options.docs.empty()) std::filesystem::create_directories(options.docs);
  write_file(options.json, json);
  if (!options.json.empty()) fmt::print("\nall figures: {}\n", options.json);
  if (!options.docs.empty()) {
    write_page(json, options.docs);
    fmt::print("the page: {}/benchmarks.md\n", options.docs);
  }
  fmt::print("everything took {:.0f} s{}\n", seconds_since(begin), status == 0 ? "" : "; something FAILED, see above");
  return status;
}

void render_page(const std::string& json_file, const std::string& docs) { write_page(read_text(json_file), docs); }

void print_comparison(const std::string& before, const std::string& after) {
  const json_value first = json_value::parse(read_text(before));
  const json_value second = json_value::parse(read_text(after));
  fmt::print("{}", compare_runs(read_measured(first), read_measured(second)));
}

}  // namespace bench
