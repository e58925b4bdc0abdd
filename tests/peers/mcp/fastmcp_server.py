"""A FastMCP server whose tools can be cancelled, for run.sh."""

import asyncio

from fastmcp import FastMCP

mcp = FastMCP("fastmcp")
stopped = 0


@mcp.tool
async def nap(seconds: float) -> str:
    """Sleeps."""
    global stopped
    try:
        await asyncio.sleep(seconds)
    except BaseException:
        stopped += 1
        raise
    return "slept"


@mcp.tool
async def state() -> str:
    """Tells how many naps were cut short."""
    return f"stopped {stopped}"


@mcp.tool
async def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@mcp.tool
async def fail() -> str:
    """Fails."""
    raise ValueError("there is no such page")


if __name__ == "__main__":
    mcp.run(show_banner=False)
