"""The test of the tester: planted mistakes, and false alarms."""
