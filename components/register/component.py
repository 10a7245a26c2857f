"""KFP: register."""

from kfp import dsl

from serin.environment import image


@dsl.component(base_image=image(), install_kfp_package=False)
def register(
    use_case: str,
    gate: str,
    run_id: str,
    model: dsl.Input[dsl.Model],
    report: dsl.Input[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> int:
    """Registers the model in MLflow; one that passed the gate becomes the challenger. Returns its version."""
    from pathlib import Path

    from components.register.run import register as run
    from components.step import step

    with step("register", use_case) as (platform, case):
        reports = {"report.html": Path(report.path).read_text(encoding="utf-8")}
        # A number comes back from Kubeflow as a float.
        champion = model.metadata.get("champion")
        against, facts = None if champion is None else int(champion), model.metadata.get("facts")
        result = run(platform, case, Path(model.path), gate, reports, run_id, against=against, facts=facts)
        aliases = ", ".join(result.aliases) or "none"
        text = f"Registered **{case.model_name} v{result.version}**; gate {gate}; aliases: {aliases}.\n"
        Path(summary.path).write_text(text, encoding="utf-8")
        return result.version
