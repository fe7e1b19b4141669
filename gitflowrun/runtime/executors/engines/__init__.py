"""The engines that place agents: Dask, Ray, and any `concurrent.futures.Executor`."""
