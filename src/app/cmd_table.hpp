#pragma once
// `signalbox table …`: what an Iceberg table's metadata says of its health.

namespace CLI {
class App;
}

namespace signalbox::app {

// Adds the command group to the program. A command that ran stores its exit code in exit_status, which must outlive
// app.
void register_table(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
