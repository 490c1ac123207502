#include "io_bench.hpp"

#include "case_bench.hpp"
#include "columns.hpp"
#include "file_programs.hpp"
#include "json_value.hpp"
#include "loopback.hpp"
#include "median.hpp"
#include "server_process.hpp"
#include "wave_client.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

std::vector<known_server> servers_of(const std::string& what) {
  const server_command weir{"weir_echo", {"0", "0", what}, {}};
  const auto on = [](server_command command, const char* backend) {
    command.environment = {{"WEIR_BACKEND", backend}};
    return command;
  };
  return {{"weir-uring", "weir on io_uring", on(weir, "uring"), needs::ring},
          {"weir-epoll", "weir on epoll", on(weir, "epoll"), needs::nothing},
          {"raw-uring", "raw io_uring", {"raw_servers", {what, "uring"}, {}}, needs::deferred_ring},
          {"raw-epoll", "raw epoll", {"raw_servers", {what, "epoll"}, {}}, needs::nothing}};
}

/// Those of `--alone`, by their first argument.
std::vector<known_server> programs_of(std::vector<known_server> others) {
  std::vector<known_server> all{
      {"weir-uring", "weir on io_uring", {"", {"weir"}, {{"WEIR_BACKEND", "uring"}}}, needs::ring},
      {"weir-epoll", "weir on epoll", {"", {"weir"}, {{"WEIR_BACKEND", "epoll"}}}, needs::nothing}};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

const std::vector<io_kind>& io_kinds() {
  const known_server uring{"raw-uring", "raw io_uring", {"", {"uring"}, {}}, needs::ring};
  const known_server plain{"pread", "pread, one by one", {"", {"pread"}, {}}, needs::nothing};
  const known_server registered{"weir-registered",
                                "weir on io_uring, registered memory",
                                {"", {"weir-registered"}, {{"WEIR_BACKEND", "uring"}}},
                                needs::ring};
  const known_server fio{"fio", "fio, io_uring", {"", {}, {}}, needs::ring, "fio"};
  const std::vector<known_server> tls{
      {"weir-uring", "weir on io_uring", {"weir_tls_echo", {}, {{"WEIR_BACKEND", "uring"}}}, needs::ring},
      {"weir-epoll", "weir on epoll", {"weir_tls_echo", {}, {{"WEIR_BACKEND", "epoll"}}}, needs::nothing},
      {"raw-epoll", "OpenSSL on epoll", {"raw_tls_echo", {}, {}}, needs::nothing}};
  const std::vector<known_server> copiers =
      programs_of({{"copy_file_range", "copy_file_range", {"", {"copy_file_range"}, {}}, needs::nothing},
                   {"read-write", "read and write, 64 KiB", {"", {"read-write"}, {}}, needs::nothing},
                   {"cp", "cp", {"", {"cp"}, {}}, needs::nothing}});
  static const std::vector<io_kind> kinds{
      {io_operation::udp, "udp", "datagrams back", {64, 1400, 8 * kib}, servers_of("udp"), "raw-epoll", "raw-uring"},
      {io_operation::accept,
       "accept",
       "accept and close, 32 at once",
       {0},
       servers_of("accept"),
       "raw-epoll",
       "raw-uring"},
      {io_operation::tls, "tls", "echo over TLS, 64 connections", {64, 4 * kib, 16 * kib}, tls, "raw-epoll", ""},
      {io_operation::read_direct,
       "read-direct",
       "random direct reads, 32 at once",
       {4 * kib, 64 * kib},
       programs_of({registered, uring, fio}),
       "fio",
       "raw-uring"},
      {io_operation::read_cached,
       "read-cached",
       "random cached reads, 32 at once",
       {4 * kib, 64 * kib},
       programs_of({uring, plain, fio}),
       "fio",
       "raw-uring"},
      {io_operation::copy, "copy", "copy of a file", {64 * kib, 1 * mib, 64 * mib}, copiers, "copy_file_range", "cp"}};
  return kinds;
}

bool is_of_files(const io_kind& kind) { return kind.operation >= io_operation::read_direct; }

std::string output_of(const std::string& command) {
  std::FILE* const output = popen(command.c_str(), "r");
  if (output == nullptr) throw std::runtime_error("cannot start " + command);
  std::string text;
  std::array<char, 4096> part;
  while (const std::size_t n = fread(part.data(), 1, part.size(), output)) text.append(part.data(), n);
  if (pclose(output) != 0) throw std::runtime_error(fmt::format("failed: {}", command));
  return text;
}

/// A folder that is gone when this is.
class scratch_folder {
 public:
  explicit scratch_folder(const std::string& parent) {
    path_ = (parent.empty() ? sibling("") : parent + "/") + "io_bench.XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make the folder " + path_);
  }
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  [[nodiscard]] std::string file(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  std::string path_;
};

class io_runs {
 public:
  explicit io_runs(io_report& report) : report_(report), folder_(report.options.directory) {
    for (const io_row& row : report.rows) {
      if (row.kind->operation == io_operation::tls && !made_certificate_) {
        make_certificate(certificate(), key());
        made_certificate_ = true;
      }
      if (row.kind->operation == io_operation::copy && !std::filesystem::exists(copied(row.size)))
        make_file(copied(row.size), row.size);
      if (is_of_files(*row.kind) && row.kind->operation != io_operation::copy && !std::filesystem::exists(read_from()))
        make_file(read_from(), report.options.smoke ? 8 * mib : 256 * mib);
    }
  }

  /// Throws std::runtime_error for wrong answers.
  io_sample run(const io_row& row, const known_server& who) {
    if (!is_of_files(*row.kind)) return run_server(row, who);
    io_sample sample;
    // On one thread, and so one core, as a server is; what it starts inherits that.
    on_own_thread(column::raw, [&] { sample = who.name == "fio" ? run_fio(row) : run_program(row, who); });
    return sample;
  }

  /// Whether the file system of the folder has direct reads.
  [[nodiscard]] static bool reads_directly(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
  }
  [[nodiscard]] std::string read_from() const { return folder_.file("blocks"); }

 private:
  [[nodiscard]] std::string certificate() const { return folder_.file("certificate.pem"); }
  [[nodiscard]] std::string key() const { return folder_.file("key.pem"); }
  [[nodiscard]] std::string copied(std::size_t size) const { return folder_.file(fmt::format("{}", size)); }

  std::unique_ptr<wave_client> client_of(const io_row& row, std::uint16_t port) const {
    switch (row.kind->operation) {
      case io_operation::udp:
        return datagram_client(port, row.size);
      case io_operation::accept:
        return connecting_client(port);
      default:
        return tls_client(port, row.size, certificate());
    }
  }

  io_sample run_server(const io_row& row, const known_server& who) const {
    using clock = std::chrono::steady_clock;
    const std::chrono::milliseconds warm_up(report_.options.smoke ? 10 : 100);
    const std::chrono::milliseconds measured(report_.options.smoke ? 30 : 400);
    server_command command = who.command;
    if (row.kind->operation == io_operation::tls) command.arguments = {"0", certificate(), key()};
    const auto cores = choose_cores();
    server_process server(command, cores ? std::optional(cores->server) : std::nullopt);
    io_sample sample;
    try {
      const auto client = client_of(row, server.port());
      const auto ask_for = [&](std::chrono::milliseconds time) {
        std::uint64_t answers = 0;
        const auto end = clock::now() + time;
        do answers += client->ask();
        while (clock::now() < end);
        return static_cast<double>(answers);
      };
      ask_for(warm_up);
      const double cpu = server.cpu_seconds();
      const auto begin = clock::now();
      const double answers = ask_for(measured);
      const std::chrono::duration<double> passed = clock::now() - begin;
      sample = {answers / passed.count(), 1e6 * (server.cpu_seconds() - cpu) / answers};
    } catch (const std::exception& e) {
      const std::string more = server.stop();
      throw std::runtime_error(more.empty() ? e.what() : fmt::format("{}; {}", e.what(), more));
    }
    if (const std::string bad_end = server.stop(); !bad_end.empty()) throw std::runtime_error(bad_end);
    return sample;
  }

  /// For some tenths of a second.
  [[nodiscard]] std::uint64_t count_of(const io_row& row) const {
    const auto mibs = std::max<std::uint64_t>(1, row.size / mib);
    std::uint64_t count = 0;
    switch (row.kind->operation) {
      case io_operation::read_direct:
        count = row.size > 4 * kib ? 6'000 : 30'000;
        break;
      case io_operation::read_cached:
        count = row.size > 4 * kib ? 40'000 : 300'000;
        break;
      default:
        count = row.size < mib ? 400 : 300 / mibs;
    }
    return report_.options.smoke ? std::max<std::uint64_t>(1, count / 100) : count;
  }

  io_sample run_program(const io_row& row, const known_server& who) const {
    std::string command = "env";
    for (const auto& [name, value] : who.command.environment) command += fmt::format(" {}={}", name, value);
    const bool copying = row.kind->operation == io_operation::copy;
    const std::string file = copying ? copied(row.size) : read_from();
    if (row.kind->operation == io_operation::read_cached || copying) read_whole(file);
    command += fmt::format(" '{}' --alone {} {} {} {} '{}'", sibling("io_bench"), row.kind->key,
                           who.command.arguments.front(), row.size, count_of(row), file);
    const program_answer found = ask_program(command);
    if (!found.right) throw std::runtime_error("wrong answers");
    return {1e6 / found.first, found.second};
  }

  io_sample run_fio(const io_row& row) const {
    const bool direct = row.kind->operation == io_operation::read_direct;
    if (!direct) read_whole(read_from());
    const std::string said = output_of(fmt::format(
        "fio --name=weir --filename='{}' --rw=randread --bs={} --iodepth={} --ioengine=io_uring --direct={} "
        "--invalidate=0 --norandommap --randrepeat=0 --thread --time_based --runtime={} --output-format=json "
        "2>&1",
        read_from(), row.size, reads_at_once, direct ? 1 : 0, report_.options.smoke ? "50ms" : "500ms"));
    const std::size_t begin = said.find('{');  // its notes go before
    if (begin == std::string::npos) throw std::runtime_error("fio said: " + said);
    const json_value read = json_value::parse(std::string_view(said).substr(begin));
    if (read["jobs"].items().empty()) throw std::runtime_error("fio tells of no job");
    const json_value& job = read["jobs"].items().front();
    const double reads = job["read"]["total_ios"].number();
    const double us = 1000 * job["read"]["runtime"].number();
    if (job["error"].number() != 0 || !(reads > 0)) throw std::runtime_error("fio has failed");
    return {1e6 * reads / us, (job["usr_cpu"].number() + job["sys_cpu"].number()) / 100 * us / reads};
  }

  io_report& report_;
  scratch_folder folder_;
  bool made_certificate_ = false;
};

std::string why_left_out(const io_kind& kind, const known_server& who) {
  if (kind.operation == io_operation::tls && !has_tls) return "TLS is left out: built without OpenSSL (libssl-dev).";
  if (who.name == "fio" && output_of("command -v fio || true").empty())
    return "fio is left out: it is not installed (fio).";
  return why_not(who);
}

std::string line_of(const io_sample& sample) {
  return fmt::format("{:.0f} in a second, {:.2f} us of CPU each", sample.per_second, sample.cpu_us);
}

}  // namespace

double io_entry::median(io_figure figure) const {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const io_sample& sample : rounds) values.push_back(sample.*figure);
  return median_of(std::move(values));
}

const io_entry* io_row::find(std::string_view name) const {
  for (const io_entry& entry : entries) {
    if (entry.who->name == name) return &entry;
  }
  return nullptr;
}

double io_row::ratio(const io_entry& entry, std::string_view other, io_figure figure) const {
  std::vector<double> ratios;
  const io_entry* const base = find(other);
  for (std::size_t i = 0; base != nullptr && i < std::min(entry.rounds.size(), base->rounds.size()); ++i)
    ratios.push_back(entry.rounds[i].*figure / base->rounds[i].*figure);
  return median_of(std::move(ratios));
}

const io_kind& find_io_kind(std::string_view key) {
  std::string keys;
  for (const io_kind& kind : io_kinds()) {
    if (kind.key == key) return kind;
    keys += fmt::format("{}{}", keys.empty() ? "" : ", ", kind.key);
  }
  throw std::invalid_argument(fmt::format("no row is called {}; there are {}", key, keys));
}

io_report run_io(const io_options& options, const std::function<void(const std::string&)>& progress) {
  raise_open_files_limit();
  io_report report;
  report.options = options;
  std::set<std::string> left_out;
  for (const io_kind& kind : io_kinds()) {
    if (!options.rows.empty() && std::find(options.rows.begin(), options.rows.end(), kind.key) == options.rows.end())
      continue;
    for (const std::size_t size : kind.sizes) {
      if (options.smoke && size != kind.sizes.front()) break;
      io_row row{&kind, size, {}};
      for (const known_server& who : kind.contenders) {
        if (std::string reason = why_left_out(kind, who); !reason.empty()) {
          left_out.insert(std::move(reason));
        } else {
          row.entries.push_back({&who, {}});
        }
      }
      if (!row.entries.empty()) report.rows.push_back(std::move(row));
    }
  }
  io_runs runs(report);
  if (std::filesystem::exists(runs.read_from()) && !io_runs::reads_directly(runs.read_from())) {
    left_out.insert("Direct reads are left out: the file system has none. See --directory.");
    std::erase_if(report.rows, [](const io_row& r) { return r.kind->operation == io_operation::read_direct; });
  }
  report.left_out.assign(left_out.begin(), left_out.end());
  for (const std::string& reason : report.left_out) progress(reason);
  if (const auto cores = choose_cores()) {
    pin_this_thread(cores->client);
    report.pinned = true;
  }
  for (unsigned round = 0; round < options.repeats; ++round) {
    for (io_row& row : report.rows) {
      for (std::size_t turn = 0; turn < row.entries.size(); ++turn) {
        // Each round begins with another one, so that none is always the first.
        io_entry& entry = row.entries[(turn + round) % row.entries.size()];
        const std::string where = fmt::format("{}: {}", title_of(row), entry.who->title);
        io_sample sample;
        try {
          sample = runs.run(row, *entry.who);
          progress(fmt::format("[{}/{}] {}: {}", round + 1, options.repeats, where, line_of(sample)));
        } catch (const std::exception& e) {
          report.failures.push_back(fmt::format("{}, round {}: {}", where, round + 1, e.what()));
          progress(fmt::format("[{}/{}] {}: {}", round + 1, options.repeats, where, e.what()));
        }
        entry.rounds.push_back(sample);
      }
    }
  }
  return report;
}

}  // namespace bench
