Varve.runAndExit()
