#pragma once

#include <optional>
#include <string_view>

#include "../runtime/clock.hpp"

namespace weir {

/// Tells the manager of services, systemd for example, how this process is: one datagram to the socket that
/// $NOTIFY_SOCKET names, as sd_notify(3) sends it, without its library. `state` is lines of NAME=value.
///
/// Returns false when nobody wants to know: there is no such variable, or this is a simulation. It never waits. Throws
/// std::system_error when it does not get through: "notify /run/systemd/notify: Connection refused"; EAGAIN when the
/// manager does not read.
bool notify_service_manager(std::string_view state);

/// The service has started: Type=notify waits for that.
bool notify_ready();
/// It reads its configuration again; notify_ready() follows.
bool notify_reloading();
/// It has begun to end.
bool notify_stopping();
/// One line for people, to be seen in `systemctl status`. Throws std::system_error (EINVAL) for several.
bool notify_status(std::string_view line);
/// It is alive. To be said before each watchdog_interval() ends, twice as often for example.
bool notify_watchdog();

/// Within which time notify_watchdog() has to come ($WATCHDOG_USEC); nothing when nobody waits for it.
[[nodiscard]] std::optional<duration> watchdog_interval();

}  // namespace weir
