"""The control surface for jobs and their files, under /control/: see control.py."""

from orchestrator.embedding_server import app, jobs, request


class Hold(app.Handler):
    """A job takes at least so long, those under way among them. {"seconds": 60}"""

    def post(self) -> None:
        self.server.hold_seconds = request.parse_json(self.request.body)["seconds"]
        self.write_json({})


class Expire(app.Handler):
    """The next jobs expire after so many executed requests. {"after": 2, "times": 1}"""

    def post(self) -> None:
        told = request.parse_json(self.request.body)
        self.server.expiries.extend([told["after"]] * told["times"])
        self.write_json({})


class FailJobs(app.Handler):
    """The next jobs fail so, whatever is in their files. {"code": ..., "message": ..., "times": 1}"""

    def post(self) -> None:
        told = request.parse_json(self.request.body)
        self.server.job_failures.extend([jobs.JobError(told["code"], told["message"])] * told["times"])
        self.write_json({})


class BreakRequests(app.Handler):
    """The next lines that jobs execute are answered so instead. {"status": 500, "times": 3}"""

    def post(self) -> None:
        told = request.parse_json(self.request.body)
        self.server.broken_requests.extend([told["status"]] * told["times"])
        self.write_json({})


class Jobs(app.Handler):
    """Every job since the start, the newest first, as the API describes them."""

    def get(self) -> None:
        self.write_json({"jobs": [job.report() for job in self.server.jobs]})


class Files(app.Handler):
    """How many files there are."""

    def get(self) -> None:
        self.write_json({"files": len(self.server.files)})
