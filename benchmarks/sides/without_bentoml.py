"""This service on uvicorn's workers, for machines without BentoML. Its argument is the port."""

import sys

import uvicorn
from starlette.applications import Starlette

from service.engine.supervisor import keep_engine
from service.http.application import create_app
from service.settings import hand_down, load_settings


def app() -> Starlette:
    return create_app(load_settings())


if __name__ == "__main__":
    settings = load_settings()
    if settings.front_ends > 1:
        hand_down(engine_socket=keep_engine(log_level=settings.log_level))
    uvicorn.run(
        "benchmarks.sides.without_bentoml:app",
        factory=True,
        port=int(sys.argv[1]),
        workers=settings.front_ends,
        loop="uvloop",
        http="httptools",
        access_log=False,
    )
