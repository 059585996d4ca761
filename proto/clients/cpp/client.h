// A client of Simmer servers for C++17. The messages are those of simmer/control/v1/control.proto.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <grpcpp/grpcpp.h>

#include "simmer/control/v1/control.grpc.pb.h"

namespace simmer {

namespace wire = ::simmer::control::v1;

// A call that failed. `code()` is stable: "invalid_recipe", "run_not_found", "unauthenticated", "deadline_exceeded".
class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

struct Options {
  // Of a server on TCP; empty for a unix socket.
  std::string token;
  // Null for TLS with every other machine, by the public authorities, and a connection that is not encrypted with this one.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // How long a call may take before it fails with "deadline_exceeded".
  double call_seconds = 60;
  // The same for ExplainRow and DiffEvaluations, which read whole tables.
  double reading_seconds = 600;
};

// The token of SIMMER_SERVER_TOKEN, and TLS by the PEM files of SIMMER_SERVER_CA, SIMMER_SERVER_CERT and SIMMER_SERVER_KEY.
// Throws Error "tls_file_missing", "tls_incomplete".
Options OptionsOfEnvironment();

// The calls of one server. May be shared among threads. Every call but ReadArtifact may be made twice, so that a server that
// is being started again is waited for: about two seconds, Watch longer.
class Client {
 public:
  // `address`: "unix:PATH" or "HOST:PORT".
  explicit Client(const std::string& address, Options options = {});

  // Queues a run of a recipe's text. The same request id again is the same run. `until`: name of a stage; only what it
  // needs is run, and itself.
  wire::Run CreateRun(const std::string& text, const std::map<std::string, std::string>& params,
                      const std::string& request_id, const std::optional<std::string>& until = std::nullopt);

  // How a run stands; by its id, the beginning of its id, or "latest".
  wire::Run GetRun(const std::string& run_id);

  // Every event of a run until it ends, each once and in order, also where the connection breaks meanwhile.
  void Watch(const std::string& run_id, const std::function<void(const wire::Event&)>& on_event,
             std::uint64_t from_sequence = 1);

  // What the stages of a run have made so far.
  wire::ListArtifactsResponse ListArtifacts(const std::string& run_id);

  // The bytes of a file of an artifact, part by part.
  void ReadArtifact(const std::string& artifact_id, const std::string& path,
                    const std::function<void(const std::string&)>& on_data);

  // Why a row of a run was kept or dropped, stage by stage: the JSON object of ExplainRowResponse. `row_id`: the id of the
  // row, or the beginning of it, from 4 characters on. Throws Error "run_not_found", "row_not_found", "row_ambiguous", and
  // "too_many_analyses" while the server reads tables for others.
  std::string ExplainRow(const std::string& run_id, const std::string& row_id);

  // The items whose verdict changed from one run to another: the JSON list of DiffEvaluationsResponse, whole. Throws Error
  // "run_not_found", "nothing_graded", "nothing_in_common", and "too_many_analyses" as the former.
  std::string DiffEvaluations(const std::string& before_run_id, const std::string& after_run_id);

 private:
  std::unique_ptr<grpc::ClientContext> Context() const;
  void Call(double seconds, const std::function<grpc::Status(grpc::ClientContext*)>& call) const;

  std::string token_;
  double call_seconds_;
  double reading_seconds_;
  std::unique_ptr<wire::ControlService::Stub> stub_;
};

}  // namespace simmer
