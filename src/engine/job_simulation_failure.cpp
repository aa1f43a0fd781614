#include "engine/job_simulation_failure.hpp"

#include "engine/job_simulation_plan.hpp"

namespace signalbox::engine {
namespace {

void exited(jobs::Run& run, int code) {
    run.state = jobs::RunState::Failed;
    run.exit_code = code;
    run.nodes.front().stage = jobs::NodeStage::Ended;
    run.nodes.front().exit = jobs::Exit{jobs::ExitHow::Exited, code, 0};
    run.reason = fmt::format("the driver ended with exit code {}", code);
}

void refused(jobs::Run& run, const std::string& why) {
    run.state = jobs::RunState::Error;
    run.nodes.front().stage = jobs::NodeStage::Dropped;
    run.nodes.front().refusal = why;
    run.reason = "node 0 could not be launched: " + why;
}

void lost(jobs::Run& run) {
    run.state = jobs::RunState::Error;
    run.nodes.front().stage = jobs::NodeStage::Ended;
    run.nodes.front().exit = jobs::Exit{};
    run.reason = "the driver's process is gone and left no exit status";
}

}  // namespace

SimFailure sim_failure(SimSymptom symptom) {
    switch (symptom) {
        case SimSymptom::Network:
            return SimFailure::Network;
        case SimSymptom::Plain:
            return SimFailure::Plain;
        case SimSymptom::Lost:
            break;
    }
    return SimFailure::Lost;
}

std::string sim_last_words(SimFailure failure) {
    return failure == SimFailure::Network ? "java.net.ConnectException: Connection timed out" : "";
}

void sim_fail(jobs::Run& run, SimFailure failure, const std::string& detail, int own_exit_code) {
    switch (failure) {
        case SimFailure::NoConnection:
        case SimFailure::Expired:
            run.state = failure == SimFailure::Expired ? jobs::RunState::Expired : jobs::RunState::Failed;
            run.reason = detail;
            return;
        case SimFailure::Refused:
            return refused(run, "the zone does not answer");
        case SimFailure::NoAddresses:
            return refused(run, "no free addresses in the subnet");
        case SimFailure::Network:
        case SimFailure::Plain:
            return exited(run, 1);
        case SimFailure::Own:
            return exited(run, own_exit_code);
        case SimFailure::Lost:
            break;
    }
    lost(run);
}

std::string sim_run_id(std::uint64_t seed, std::size_t run) {
    base::Prng prng = sim_prng(seed, SimDraw::Id, run);
    std::string bytes;
    for (int i = 0; i < 4; ++i) {
        const std::uint64_t word = prng.next();
        for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>((word >> shift) & 0xFF);
    }
    return jobs::run_id(bytes);
}

}  // namespace signalbox::engine
