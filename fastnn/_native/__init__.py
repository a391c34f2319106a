"""The compiled half of fastnn: threads, tiles, workspace and phases."""
