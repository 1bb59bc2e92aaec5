"""/v1/files, as OpenAI answers it for the files of jobs, or as the server was told to fail."""

from orchestrator.embedding_server import failing, faults, files, pages, refusals

PURPOSE = "batch"
SUFFIX = ".jsonl"


class Files(failing.Failing):
    async def get(self) -> None:
        """Every file, or those of a purpose."""
        self.take_failure(faults.spares_vectors)
        purpose = self.get_query_argument("purpose", "")
        reports = [file.report() for file in self.server.files if purpose in ("", file.purpose)]
        await self.answer(pages.page(self, reports, default=10_000, largest=10_000))

    async def post(self) -> None:
        """Keep an upload: a form with `purpose` and `file`."""
        self.take_failure(faults.spares_vectors)
        file = self._uploaded()
        await self.answer(self.server.files.add(file).report())

    def _uploaded(self) -> files.File:
        purpose = self.get_body_argument("purpose", None)
        if purpose is None:
            raise refusals.missing_parameter("purpose")
        if purpose != PURPOSE:
            raise refusals.unknown_purpose(purpose, PURPOSE)
        if "file" not in self.request.files:
            raise refusals.missing_parameter("file")
        [uploaded, *_] = self.request.files["file"]
        if not uploaded.filename.endswith(SUFFIX):
            raise refusals.wrong_format(SUFFIX)
        if len(uploaded.body) > files.MAX_BYTES:
            raise refusals.too_large(len(uploaded.body), files.MAX_BYTES)
        return files.File(uploaded.filename, uploaded.body, PURPOSE)


class File(failing.Failing):
    async def get(self, file_id: str) -> None:
        self.take_failure(faults.spares_vectors)
        await self.answer(self.server.files.get(file_id).report())

    async def delete(self, file_id: str) -> None:
        self.take_failure(faults.spares_vectors)
        self.server.files.delete(file_id)
        await self.answer({"id": file_id, "object": "file", "deleted": True})


class Content(failing.Failing):
    async def get(self, file_id: str) -> None:
        self.take_failure(faults.spares_vectors)
        await self.answer_bytes(self.server.files.get(file_id).contents(), "application/octet-stream")
