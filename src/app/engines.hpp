#pragma once
// The registry of database engines: what makes the links to members of each.

#include "adapters/probing/member_link.hpp"

namespace signalbox::app {

probing::Engines engines();

}  // namespace signalbox::app
