#pragma once
// What the cluster commands show: texts made from the daemon's answers. Nothing here asks anybody.

#include <string>

#include "base/json.hpp"

namespace signalbox::app {

// A member of an object as text: "-" if it is absent, null or empty.
std::string field(const base::json::object& object, const char* name);
// The objects of an array member; empty if there is none.
base::json::array objects(const base::json::object& object, const char* name);

// Traffic of the cluster goes to a proven writer.
bool is_routed(const base::json::object& cluster);
// Tables of clusters, members and endpoints, and a line per alarm.
std::string status_text(const base::json::array& clusters, const base::json::array& endpoints);
// Why each member is or is not the writer: every check, what it said, and how old that is.
std::string explain_text(const base::json::object& cluster);
// Entries of kind "failover" of the journal, the oldest first: a table of phases.
std::string failovers_text(const base::json::array& entries);
// One screen of the live view; `width` in columns, colours by ANSI sequences if `colour`.
std::string watch_text(const base::json::array& clusters, const base::json::array& endpoints, const std::string& time,
                       std::size_t width, bool colour);
// What of a status is worth a line when nobody looks at a screen: states, writers, epochs, alarms.
std::string watch_line(const base::json::array& clusters);

}  // namespace signalbox::app
