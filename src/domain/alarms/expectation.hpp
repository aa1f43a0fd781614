#pragma once
// The model behind a band, for one class of points: several simple predictors, of which the ones that were right lately
// count, in a linear and a logarithmic scale, of which the likelier one counts; and a width calibrated by the series'
// own residuals. Internal to this folder.

#include <array>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::alarms {

struct Expectation {
    static base::Result<Expectation> decode(const base::json::object& object);
    base::json::object encode() const;
};

}  // namespace signalbox::alarms
