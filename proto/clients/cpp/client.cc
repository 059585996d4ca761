#include "client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

namespace simmer {
namespace {

// Milliseconds to wait before a call is made again, or a broken stream taken up, the last one for all further times.
constexpr std::array<int, 5> kPauses = {50, 100, 200, 500, 1000};
// How often in a row a broken stream is taken up again.
constexpr std::size_t kTries = 30;
// More problems than this are counted, not listed, in an error's text.
constexpr int kProblemsShown = 10;

// gRPC's codes, by their number.
constexpr std::array<const char*, 17> kCodes = {
    "ok", "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "not_found",
    "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range",
    "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"};

// The length-delimited fields of a message, in order; numbers are passed over. Enough for google.rpc.Status, so that its
// generated code is not needed.
std::vector<std::pair<std::uint64_t, std::string>> Fields(const std::string& message) {
  std::vector<std::pair<std::uint64_t, std::string>> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; at < message.size() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.size()) {
    const std::uint64_t tag = varint();
    if ((tag & 7) == 2) {
      const std::uint64_t length = varint();
      fields.emplace_back(tag >> 3, message.substr(at, length));
      at += length;
    } else if ((tag & 7) == 0) {
      varint();
    } else {
      break;
    }
  }
  return fields;
}

// The message, and below it the first of the problems with their places, or their keys where they have none.
std::string TextOf(const wire::ErrorDetail& detail) {
  std::string text = detail.message();
  const int shown = std::min(detail.problems_size(), kProblemsShown);
  for (int index = 0; index < shown; ++index) {
    const auto& problem = detail.problems(index);
    const auto& place = problem.position();
    text += '\n';
    if (problem.has_position()) {
      text += place.file() + ':' + std::to_string(place.line()) + ':' + std::to_string(place.column()) + ": ";
    } else if (problem.has_path()) {
      text += problem.path() + ": ";
    }
    text += problem.message();
    if (problem.has_hint()) text += "\n  hint: " + problem.hint();
  }
  if (shown < detail.problems_size()) text += "\n… and " + std::to_string(detail.problems_size() - shown) + " more";
  return text;
}

// google.rpc.Status: details = 3 (google.protobuf.Any: type_url = 1, value = 2).
Error ErrorOf(const grpc::Status& status) {
  for (const auto& [field, any] : Fields(status.error_details())) {
    if (field != 3) continue;
    std::string type, value;
    for (const auto& [inner, bytes] : Fields(any)) (inner == 1 ? type : value) = bytes;
    wire::ErrorDetail detail;
    if (type == "type.googleapis.com/simmer.control.v1.ErrorDetail" && detail.ParseFromString(value)) {
      return Error(detail.code(), TextOf(detail));
    }
  }
  return Error(kCodes.at(status.error_code()), status.error_message());
}

void Pause(std::size_t failures) {
  std::this_thread::sleep_for(std::chrono::milliseconds(kPauses[std::min(failures, kPauses.size()) - 1]));
}

// The whole id of the run that an event is of. The log has it first in each event, and it holds nothing that JSON escapes.
std::string RunOf(const wire::Event& event) {
  static const std::string before = R"({"runId":")";
  return event.json().substr(before.size(), event.json().find('"', before.size()) - before.size());
}

// Whether nobody else can listen in, so that no token goes out in the clear.
bool IsLocal(const std::string& address) {
  static const std::regex local(R"(unix:.*|(localhost|127(\.\d+){3}|\[::1\]):\d+)");
  return std::regex_match(address, local);
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What the file holds that a variable names; empty where it names none.
std::string FileOf(const char* variable) {
  const std::string path = Environment(variable);
  if (path.empty()) return "";
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) throw Error("tls_file_missing", "A file for TLS cannot be read: " + path);
  return text.str();
}

}  // namespace

Options OptionsOfEnvironment() {
  Options options;
  options.token = Environment("SIMMER_SERVER_TOKEN");
  const grpc::SslCredentialsOptions files{FileOf("SIMMER_SERVER_CA"), FileOf("SIMMER_SERVER_KEY"),
                                          FileOf("SIMMER_SERVER_CERT")};
  if (files.pem_private_key.empty() != files.pem_cert_chain.empty()) {
    throw Error("tls_incomplete", "A certificate of a client goes with its key: set SIMMER_SERVER_CERT and SIMMER_SERVER_KEY");
  }
  if (!files.pem_root_certs.empty() || !files.pem_cert_chain.empty()) options.credentials = grpc::SslCredentials(files);
  return options;
}

Client::Client(const std::string& address, Options options)
    : token_(std::move(options.token)),
      call_seconds_(options.call_seconds),
      reading_seconds_(options.reading_seconds) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  arguments.SetInt("grpc.initial_reconnect_backoff_ms", 50);
  arguments.SetInt("grpc.max_reconnect_backoff_ms", 1000);
  arguments.SetInt("grpc.enable_http_proxy", 0);
  auto credentials = options.credentials;
  if (!credentials) credentials = IsLocal(address) ? grpc::InsecureChannelCredentials() : grpc::SslCredentials({});
  stub_ = wire::ControlService::NewStub(grpc::CreateCustomChannel(address, credentials, arguments));
}

wire::Run Client::CreateRun(const std::string& text, const std::map<std::string, std::string>& params,
                            const std::string& request_id, const std::optional<std::string>& until) {
  wire::CreateRunRequest request;
  request.set_request_id(request_id);
  request.mutable_recipe()->set_text(text);
  request.mutable_recipe()->mutable_params()->insert(params.begin(), params.end());
  if (until) request.mutable_recipe()->set_until(*until);
  wire::CreateRunResponse response;
  Call(call_seconds_, [&](grpc::ClientContext* context) { return stub_->CreateRun(context, request, &response); });
  return response.run();
}

wire::Run Client::GetRun(const std::string& run_id) {
  wire::GetRunRequest request;
  request.set_run_id(run_id);
  wire::GetRunResponse response;
  Call(call_seconds_, [&](grpc::ClientContext* context) { return stub_->GetRun(context, request, &response); });
  return response.run();
}

void Client::Watch(const std::string& run_id, const std::function<void(const wire::Event&)>& on_event,
                   std::uint64_t from_sequence) {
  wire::WatchRunRequest request;
  request.set_run_id(run_id);
  request.set_mode(wire::WATCH_MODE_COMPLETE);
  for (std::size_t failures = 0;;) {
    request.set_from_sequence(from_sequence);
    const auto context = Context();
    const auto stream = stub_->WatchRun(context.get(), request);
    wire::WatchRunResponse response;
    try {
      while (stream->Read(&response)) {
        failures = 0;
        for (const auto& item : response.items()) {
          if (!item.has_event()) continue;
          from_sequence = item.event().sequence() + 1;
          // By another name, such as "latest", it may be another run by the time that this breaks.
          request.set_run_id(RunOf(item.event()));
          on_event(item.event());
        }
      }
    } catch (...) {
      context->TryCancel();
      while (stream->Read(&response)) {
      }
      stream->Finish();
      throw;
    }
    const grpc::Status status = stream->Finish();
    if (status.ok()) return;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || ++failures > kTries) throw ErrorOf(status);
    Pause(failures);
  }
}

wire::ListArtifactsResponse Client::ListArtifacts(const std::string& run_id) {
  wire::ListArtifactsRequest request;
  request.set_run_id(run_id);
  wire::ListArtifactsResponse response;
  Call(call_seconds_, [&](grpc::ClientContext* context) { return stub_->ListArtifacts(context, request, &response); });
  return response;
}

void Client::ReadArtifact(const std::string& artifact_id, const std::string& path,
                          const std::function<void(const std::string&)>& on_data) {
  wire::ReadArtifactRequest request;
  request.set_artifact_id(artifact_id);
  request.set_path(path);
  const auto context = Context();
  const auto stream = stub_->ReadArtifact(context.get(), request);
  wire::ReadArtifactResponse response;
  while (stream->Read(&response)) on_data(response.data());
  if (const grpc::Status status = stream->Finish(); !status.ok()) throw ErrorOf(status);
}

std::string Client::ExplainRow(const std::string& run_id, const std::string& row_id) {
  wire::ExplainRowRequest request;
  request.set_run_id(run_id);
  request.set_row_id(row_id);
  wire::ExplainRowResponse response;
  Call(reading_seconds_, [&](grpc::ClientContext* context) { return stub_->ExplainRow(context, request, &response); });
  return response.history_json();
}

std::string Client::DiffEvaluations(const std::string& before_run_id, const std::string& after_run_id) {
  wire::DiffEvaluationsRequest request;
  request.set_before_run_id(before_run_id);
  request.set_after_run_id(after_run_id);
  std::string points;
  Call(reading_seconds_, [&](grpc::ClientContext* context) {
    points.clear();
    const auto stream = stub_->DiffEvaluations(context, request);
    wire::DiffEvaluationsResponse response;
    while (stream->Read(&response)) points += response.data();
    return stream->Finish();
  });
  return points;
}

std::unique_ptr<grpc::ClientContext> Client::Context() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_wait_for_ready(false);
  if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
  return context;
}

void Client::Call(double seconds, const std::function<grpc::Status(grpc::ClientContext*)>& call) const {
  for (std::size_t failures = 0;;) {
    const auto context = Context();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(std::llround(seconds * 1000)));
    const grpc::Status status = call(context.get());
    if (status.ok()) return;
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || ++failures > kPauses.size()) throw ErrorOf(status);
    Pause(failures);
  }
}

}  // namespace simmer
