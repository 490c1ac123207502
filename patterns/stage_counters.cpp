#include "stage_counters.hpp"

#include <cstdint>

namespace weir {

std::string to_string(const stage_counters& stage) {
  std::string line = stage.name().empty() ? std::string("stage") : stage.name();
  line += ": " + std::to_string(stage.in()) + " in, " + std::to_string(stage.out()) + " out";
  const auto add = [&line](std::uint64_t number, const char* what) {
    if (number != 0) line += ", " + std::to_string(number) + what;
  };
  add(stage.dropped(), " dropped");
  add(stage.errors(), " errors");
  add(stage.queued(), " queued");
  add(stage.busy(), " busy");
  add(stage.blocked(), " blocked");
  return line;
}

}  // namespace weir
