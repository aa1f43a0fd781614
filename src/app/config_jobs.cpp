#include "app/config_jobs.hpp"

namespace signalbox::app {

JobsConfig read_jobs(yaml::Reader&) { return {}; }

}  // namespace signalbox::app
