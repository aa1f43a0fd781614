#pragma once
// A table's health as JSON for programs and as text for people. Pure.

#include <string>

#include "base/json.hpp"
#include "domain/lake/health.hpp"

namespace signalbox::app {

base::json::object health_json(const std::string& table, const lake::Health& health);
std::string health_text(const std::string& table, const lake::Health& health);

}  // namespace signalbox::app
