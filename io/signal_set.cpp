#include "signal_set.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include "detail/signal_watch.hpp"
#include "detail/system_calls.hpp"

namespace weir {

namespace {

int make_event_number() {
  const int number = detail::system_calls::make_event_count();
  if (number < 0) throw std::system_error(-number, std::generic_category(), "signal_set: eventfd");
  return number;
}

}  // namespace

signal_set::signal_set(std::initializer_list<int> signals)
    : events_(detail::descriptor::adopt(make_event_number(), detail::descriptor::kind::file,
                                        detail::signal_names(signals))) {
  watch_ = std::make_shared<detail::signal_watch>(signals, events_.number());
}

signal_set& signal_set::operator=(signal_set&& other) noexcept {
  if (this != &other) {
    stop();
    watch_ = std::move(other.watch_);
    events_ = std::move(other.events_);
  }
  return *this;
}

signal_set::~signal_set() { stop(); }

void signal_set::stop() noexcept {
  if (watch_) watch_->stop();
}

}  // namespace weir
