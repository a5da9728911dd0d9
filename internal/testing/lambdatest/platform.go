package lambdatest

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"
)

// Platform is the platform that the sandbox imitates.
type Platform string

// The platforms.
const (
	Lambda Platform = "lambda" // Lambda, as AWS documents it.

	// Emulator is AWS's own emulator of Lambda: with OnDemand its classic mode, with ManagedInstances the mode of that name. It has no others.
	Emulator Platform = "emulator"
)

// Credentials says which credentials the processes find in their environment.
type Credentials string

// The credentials.
const (
	SessionCredentials   Credentials = "session"   // AWS_SESSION_TOKEN and both keys.
	ContainerCredentials Credentials = "container" // AWS_CONTAINER_AUTHORIZATION_TOKEN; with SnapStart also AWS_CONTAINER_CREDENTIALS_FULL_URI.
	NoCredentials        Credentials = "none"      // AWS_SESSION_TOKEN and both keys are set and empty.
)

// profile is how a platform behaves, as far as platforms differ.
type profile struct {
	credentials    Credentials   // If the Config names none.
	anonymous      bool          // The environment has no initialization type, no region and no TZ.
	environment    []string      // Further variables.
	user           int           // User id of the processes, if this process is root's. 0: the same user.
	traceID        []string      // The header Lambda-Runtime-Trace-Id. Empty: there is none.
	tracing        bool          // INVOKE events have the field tracing.
	bareShutdown   bool          // SHUTDOWN comes as text/plain and without an identifier.
	reasons        reasons       // Of SHUTDOWN.
	secondResponse refusal       // To a second response for the same request.
	noTelemetry    bool          // Every subscription gets a 202, and no event comes.
	internal       bool          // An extension with an unknown name is an internal one. Otherwise it is refused.
	refuses        bool          // An invocation beyond the concurrency is refused. Otherwise it waits.
	deadlineAhead  time.Duration // How much too late the deadline is that the runtime is told.
}

// reasons are the values of shutdownReason.
type reasons struct{ timeout, failure, end string }

type refusal struct {
	status    int
	errorType string
}

func profileOf(platform Platform, init InitType) profile {
	if platform != Emulator {
		return profile{
			credentials: SessionCredentials, traceID: []string{traceID}, tracing: true,
			reasons: reasons{"timeout", "failure", "spindown"}, secondResponse: refusal{http.StatusBadRequest, "InvalidRequestID"},
		}
	}
	if init == ManagedInstances {
		return profile{
			credentials: ContainerCredentials,
			environment: []string{
				"AWS_LAMBDA_LOG_FORMAT=JSON", "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
				"LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
			},
			user: 993, traceID: []string{""}, internal: true, refuses: true, deadlineAhead: 1000 * time.Hour,
			reasons: reasons{"timeout", "failure", "spindown"}, secondResponse: refusal{http.StatusBadRequest, "InvalidRequestID"},
		}
	}
	return profile{
		credentials: NoCredentials, anonymous: true, bareShutdown: true, internal: true, noTelemetry: true,
		reasons: reasons{"Timeout", "ReleaseFail", "SandboxTerminated"}, secondResponse: refusal{http.StatusForbidden, "InvalidStateTransition"},
	}
}

// environment returns the environment of a process. Only the runtime has AWS_LAMBDA_MAX_CONCURRENCY.
func (h *Host) environment(name string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + h.Addr(),
		"AWS_LAMBDA_FUNCTION_NAME=" + h.cfg.Function,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(h.memoryMB()),
		"LANG=en_US.UTF-8",
		"PATH=" + os.Getenv("PATH"),
	}
	if !h.profile.anonymous {
		env = append(env, "AWS_LAMBDA_INITIALIZATION_TYPE="+string(h.cfg.Init), "AWS_REGION="+region, "TZ=:UTC")
	}
	if h.cfg.Init == ManagedInstances && name == runtimeName {
		env = append(env, "AWS_LAMBDA_MAX_CONCURRENCY="+strconv.Itoa(h.cfg.Concurrency))
	}
	return slices.Concat(env, h.profile.environment, h.credentials())
}

func (h *Host) credentials() []string {
	switch {
	case h.cfg.Credentials == NoCredentials:
		return []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN="}
	case h.cfg.Credentials == SessionCredentials:
		return []string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_SESSION_TOKEN=" + SessionToken}
	case h.cfg.Init == SnapStart:
		return []string{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://" + h.Addr() + credentials, "AWS_CONTAINER_AUTHORIZATION_TOKEN=" + SessionToken}
	}
	return []string{"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + SessionToken}
}

// user is the user id of the processes. 0: that of this process.
func (h *Host) user() int {
	if os.Geteuid() != 0 {
		return 0
	}
	return h.profile.user
}

func (c Config) validatePlatform() error {
	if c.Platform != Lambda && c.Platform != Emulator {
		return fmt.Errorf("lambdatest: no platform %q", c.Platform)
	}
	if c.Platform == Emulator && c.Init != OnDemand && c.Init != ManagedInstances {
		return fmt.Errorf("lambdatest: the emulator has no initialization type %q", c.Init)
	}
	if !slices.Contains([]Credentials{SessionCredentials, ContainerCredentials, NoCredentials}, c.Credentials) {
		return fmt.Errorf("lambdatest: no credentials %q", c.Credentials)
	}
	return nil
}
