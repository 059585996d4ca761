"""A plugin for Simmer: a sink that writes how long each stage took."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field
from simmer_plugin import Plugin, Sink, SinkContext

plugin = Plugin("new-plugin", "0.1.0")


class Options(BaseModel):
    file: str = Field("stage-times.txt", description="Name of the file, in the folder of the run.")


class StageTimes(Sink):
    def __init__(self, context: SinkContext[Options]) -> None:
        # After a resume the whole run is told again, from its first event: the file begins anew.
        self.output = (context.run_folder / context.options.file).open("w")

    def on_event(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "stage.reused":
                self.output.write(f"{event['stage']}: made before\n")
            case "stage.completed":
                self.output.write(f"{event['stage']}: {event['data']['seconds']:.1f} s\n")

    def close(self) -> None:
        self.output.close()


@plugin.sink()
def stage_times(context: SinkContext[Options]) -> Sink:
    """Writes how long each stage took into a file in the folder of the run."""
    return StageTimes(context)


if __name__ == "__main__":
    plugin.serve()
