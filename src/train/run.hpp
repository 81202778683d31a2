// The state of a training run on one rank, and the steps that it is made of. See trainer.hpp.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "divs/comm/clocks.hpp"
#include "divs/core/ledger.hpp"
#include "divs/io/trace.hpp"
#include "divs/train/balancer.hpp"
#include "divs/train/checkpoint.hpp"
#include "divs/train/epoch.hpp"
#include "divs/train/evaluate.hpp"
#include "divs/train/job.hpp"
#include "divs/train/ledger.hpp"
#include "divs/train/monitor.hpp"
#include "divs/train/synchroniser.hpp"
#include "divs/train/trainer.hpp"
#include "rank_facts.hpp"

namespace divs::train {

// Seconds from the start of the process to the end of the first step, by what they went to.
struct StartTimes {
    double launch = 0;      // libraries, configuration, MPI, the folder's lock
    double data = 0;        // the catalogue
    double model = 0;       // plans, first weights, memory for checkpoints
    double checkpoint = 0;  // read, and given to all ranks
    double decoder = 0;     // chosen
    double schedule = 0;
    double clips = 0;  // waiting for the first
    double step = 0;

    double total() const { return launch + data + model + checkpoint + decoder + schedule + clips + step; }
    double loading() const { return data + clips; }
};

// What a batch of clips refers to.
struct BatchLists {
    std::vector<Pixels*> pixels;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> samples;
};

// A step that is updated, or will be once the device comes to it, and not settled.
struct StepUnderWay {
    Stopwatch clock;  // since it began
    StepClips clips;
    StepReport report;   // without totals, norm and times, and its seconds until the host is through with it
    sched::Round round;  // without compute and exposed communication
};

class Run {
  public:
    Run(comm::World& world, const Settings& settings);
    TrainResult execute();

  private:
    // run_setup.cpp
    void check_agreement();
    void build_model();
    void resume();
    void say_hello() const;

    // run.cpp
    bool train_epoch();                                    // false: a stop was asked for
    std::vector<std::uint64_t> remaining_samples() const;  // see Epoch
    void require_used(const EpochRecord& epoch);
    void train_step(Epoch& epoch);
    nn::Batch batch_of(const StepClips& clips, BatchLists& lists) const;
    void account(const StepClips& clips);
    // What is left to know of the step under way; waits for a device to come past it. Comes before whatever
    // keeps or shows what that step changed, and in the next step once the device is there anyway.
    void settle();
    // Whose loss is not finite, and where that began; bad_row: on this rank. Collective.
    std::string bad_samples(const StepClips& clips, int bad_row);
    [[noreturn]] void diverge(std::int64_t step, std::string_view what, const std::string& where);
    void report_start(double wait_data, double seconds);
    StepReport report_of(double wait_data, float rate) const;  // before it settles
    void after_decision(const sched::Decision& decision);
    void evaluate_split(video::Split split);
    double slowdown() const;

    // run_state.cpp
    void gather_ledger();
    void save(CheckpointStore::Busy busy);
    bool save_is_due() const;  // by the clock of rank 0, which the others hear of

    // run_summary.cpp
    std::vector<Facts> gather_facts();  // collective; of all ranks on rank 0
    void report_ranks();                // collective; a line of metrics.jsonl
    std::string end_text() const;       // where a run stands that has nothing left to do
    void summarise(bool finished);      // collective
    void report_run(bool finished, double seconds, const std::vector<Facts>& ranks, const std::string& proof);
    std::filesystem::path report_file() const { return settings_.run.folder / "report.html"; }
    void collect_trace();
    void write_run_report(bool finished, const std::vector<std::pair<std::string, std::string>>& facts);

    FeedOptions feed_options(bool augment) const;
    bool is_root() const noexcept { return world_.rank() == 0; }

    comm::World& world_;
    Settings settings_;
    TimeLedger times_;
    StartTimes start_;
    DataView data_;
    std::vector<std::uint64_t> samples_;  // of the training split
    NormReducer norms_;
    std::unique_ptr<nn::Model> model_;
    video::ClipReaderOptions reader_;  // its memory is of the model's backend
    std::unique_ptr<Synchroniser> synchroniser_;
    std::unique_ptr<Balancer> balancer_;
    nn::LossSettings loss_;
    std::unique_ptr<SampleLedger> ledger_;
    std::unique_ptr<CheckpointStore> store_;  // rank 0
    std::unique_ptr<Monitor> monitor_;        // rank 0
    std::unique_ptr<io::Trace> trace_;
    std::vector<comm::ClockOffset> clocks_;  // rank 0, with a trace: at the start
    double clocks_read_ = 0;                 // when, now_seconds()

    std::optional<StepUnderWay> under_way_;
    std::int64_t step_ = 0, steps_per_epoch_ = 0;
    std::int64_t resumed_at_ = 0;
    std::uint64_t batch_ = 0;  // batches done in this epoch
    Stopwatch since_start_, since_save_;
    std::optional<double> best_;
    std::optional<Metrics> last_metrics_;
    std::optional<double> measured_;    // accuracy of the parameters at the end of the last epoch
    bool stop_ = false, save_ = false;  // as agreed in the last steps
    FeedCounts feed_total_;
    std::size_t feed_peak_ = 0;
    std::uint64_t rank_trained_ = 0;
    std::uint64_t rank_skipped_ = 0;
    double step_seconds_ = 0, busy_seconds_ = 0;  // of all steps; of their communication, exposed or not
};

}  // namespace divs::train
