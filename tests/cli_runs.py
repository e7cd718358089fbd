"""Running commands in the tests' own process, and the tiny settings they share."""

from typer.testing import CliRunner

from cli.app import app

DISCOVER = (
    "--steps", "8", "--batch", "4", "--directions", "6", "--reconstructor", "lenet", "--validation-batches", "2",
    "--log-every", "1", "--checkpoint-every", "2", "--precision", "fp32",
)  # fmt: skip
SEGMENT = (
    "--steps", "200", "--batch", "16", "--width", "8", "--validation-samples", "16", "--validate-every", "80",
    "--rate", "0.005", "--checkpoint-every", "40", "--precision", "fp32",
)  # fmt: skip


def _invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    return result.exit_code, result.output


def ran(*arguments: object) -> str:
    """Return what a command prints, after checking that it succeeded."""
    code, output = _invoke(*arguments)
    assert code == 0, output
    return output


def refused(*arguments: object) -> str:
    """Return the error of a command, after checking that it is one line and ends with status 2."""
    code, output = _invoke(*arguments)
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 2, output
    assert len(errors) == 1, output
    assert output.rstrip().endswith(errors[0])
    return errors[0].removeprefix("error: ")


def stopped(*arguments: object) -> str:
    """Return what a command prints that was asked to stop, after checking that it ended with status 130."""
    code, output = _invoke(*arguments)
    assert code == 130, output
    return output
