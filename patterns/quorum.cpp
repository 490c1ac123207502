#include "quorum.hpp"

#include <string>

namespace weir {
namespace {

std::string sentence_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::string describe(std::size_t needed, std::size_t count, const std::vector<quorum_failure>& failures) {
  std::string text =
      "weir: quorum: " + std::to_string(needed) + " of " + std::to_string(count) + " were needed, and these failed:";
  for (const quorum_failure& f : failures) text += " [" + std::to_string(f.index) + "] " + sentence_of(f.exception);
  return text;
}

}  // namespace

quorum_not_reached::quorum_not_reached(std::size_t needed, std::size_t count, std::vector<quorum_failure> failures)
    : std::runtime_error(describe(needed, count, failures)),
      failures_(std::make_shared<const std::vector<quorum_failure>>(std::move(failures))) {}

void detail::require_quorum(std::size_t needed, std::size_t count) {
  if (needed == 0) throw std::invalid_argument("weir::quorum: at least one success must be needed");
  if (needed > count) throw std::invalid_argument("weir::quorum: more successes are needed than there are operations");
}

}  // namespace weir
