defmodule Sidewinder.Lease.Machine do
  @moduledoc """
  What a lease decides. Pure: it is told what happens and the time, and says what is to be done and when it wants to be
  woken.

      resting ──start──▶ opening ──granted──▶ attached
         ▲                  │                    │
         └── pause ◀────────┴── closed, silent ──┘

  - It comes back with the same run, so a lease that has not ended goes on. One that has ended is attached again at once.
  - Each side beats at least once in an interval. We beat three times in four intervals, so that a late wake-up is not a
    missed beat; or when the daemon asks for it, who draws the beats of many clients together, within half an interval of
    the interval.
  - A daemon that is silent for one and a half intervals is told of; one that is silent for as long as the lease holds is
    hung up on, because the connection may be half open.
  - When we were late ourselves (the BEAM was stopped, the machine slept), the daemon is not blamed: its time is
    extended by ours.
  - Times are in milliseconds. `held` and round trips are measured in microseconds and come with the events.
  """

  alias Sidewinder.Proto.{Beat, Detach, FromClient, Hello, ToClient}
  alias Sidewinder.Proto.Google.Duration

  @pause_min 50
  @pause_max 5_000
  # After a refusal that only an operator can mend, or an older daemon that knows nothing of leases.
  @pause_refused 5_000
  @open_ms 10_000
  # What is granted beyond these, in milliseconds, is taken for these: a clock has to be able to wait for it.
  @interval_min 10
  @interval_max 3_600_000
  @ttl_max 86_400_000
  # Beats that are remembered until they are answered.
  @unanswered_max 16

  @type effect ::
          {:open, iodata}
          | {:send, iodata}
          | :hang_up
          | {:granted, map}
          | {:lost, term}
          | {:refused, term, non_neg_integer}
          | :unsupported
          | {:heard, map}
          | {:missed, non_neg_integer}
          | {:event, struct}
          | {:standing, struct}
          | {:beat_sent, map}

  @enforce_keys [:hello]
  defstruct [
    :hello,
    :lease,
    :epoch,
    :daemon_run,
    :wake_at,
    :next_beat,
    :heard_at,
    :received_us,
    :opened_at,
    phase: :resting,
    interval: 1_000,
    ttl: 10_000,
    failures: 0,
    sequence: 0,
    received: 0,
    warned: false,
    sent: []
  ]

  @type t :: %__MODULE__{}

  @doc "A lease that rests until `:start`."
  @spec new(Hello.t()) :: t
  def new(hello), do: %__MODULE__{hello: hello}

  @doc """
  The bounds: the shortest and the longest pause before it is tried again, how long an answer may take, and the shortest and
  the longest interval and the longest lease that are believed.
  """
  @spec bounds() :: %{atom => pos_integer}
  def bounds do
    %{
      pause_min: @pause_min,
      pause_max: @pause_max,
      open: @open_ms,
      interval_min: @interval_min,
      interval_max: @interval_max,
      ttl_max: @ttl_max
    }
  end

  @doc "When it wants to be woken, in milliseconds of the same clock; `nil`: not at all."
  @spec wake_at(t) :: integer | nil
  def wake_at(%__MODULE__{phase: :attached} = m), do: min(m.next_beat, silence_at(m))
  def wake_at(m), do: m.wake_at

  @doc "What happens, and what is to be done about it."
  @spec handle(t, term, integer) :: {t, [effect]}
  def handle(m, :start, now), do: open(m, now)

  def handle(%{phase: :resting} = m, :wake, now), do: if(due?(m, now), do: open(m, now), else: {m, []})

  def handle(%{phase: :opening} = m, :wake, now) do
    if due?(m, now), do: closed(m, {:silent, @open_ms}, now, [:hang_up]), else: {m, []}
  end

  def handle(%{phase: :attached} = m, {:wake, load, us}, now), do: tick(m, load, us, now)
  def handle(m, {:wake, _load, _us}, now), do: handle(m, :wake, now)

  def handle(%{phase: phase} = m, {:message, %ToClient{part: part}, us}, now) when phase in [:opening, :attached],
    do: message(%{m | heard_at: now, warned: false}, part, us, now)

  def handle(%{phase: phase} = m, {:closed, why}, now) when phase in [:opening, :attached], do: closed(m, why, now, [])

  # Somebody's call was refused. If that was by another lease than ours, it is old news.
  def handle(%{phase: :attached, lease: lease, epoch: epoch} = m, {:refused_call, {lease, epoch}}, now) do
    {m, effects} = open(%{m | failures: 0}, now)
    {m, [:hang_up, {:lost, :refused} | effects]}
  end

  # The stream had broken, and the call found out that the lease has ended as well: no reason to rest any longer.
  def handle(%{phase: :resting, failures: failures} = m, {:refused_call, _}, now) when failures <= 1, do: open(m, now)

  # One that is being granted is given back as well: the word comes behind the hello.
  def handle(%{phase: phase} = m, {:detach, why}, _now) when phase in [:opening, :attached],
    do: {%{m | phase: :left}, [{:send, encode({:detach, %Detach{why: why}})}]}

  def handle(m, {:detach, _why}, _now), do: {%{m | phase: :left}, [:hang_up]}
  def handle(m, _other, _now), do: {m, []}

  defp due?(m, now), do: m.wake_at != nil and now >= m.wake_at

  defp open(m, now) do
    {%{m | phase: :opening, wake_at: now + @open_ms, opened_at: now, heard_at: now, sent: [], sequence: 0, received: 0},
     [{:open, encode({:hello, m.hello})}]}
  end

  defp message(m, {:granted, granted}, _us, now) do
    changed = m.daemon_run != nil and m.daemon_run != granted.run
    interval = granted.interval |> milliseconds(m.interval) |> max(@interval_min) |> min(@interval_max)
    ttl = granted.ttl |> milliseconds(m.ttl) |> max(interval) |> min(@ttl_max)

    told = %{
      lease: granted.lease,
      epoch: granted.epoch,
      mode: granted.mode,
      daemon_run: granted.run,
      daemon_changed: changed,
      resumed: granted.resumed,
      interval: interval,
      ttl: ttl,
      duration_ms: now - m.opened_at
    }

    m = %{
      m
      | phase: :attached,
        lease: granted.lease,
        epoch: granted.epoch,
        daemon_run: granted.run,
        interval: interval,
        ttl: ttl,
        failures: 0,
        next_beat: now
    }

    {m, [{:granted, told}]}
  end

  defp message(m, {:beat, beat}, us, now) do
    {trip, sent} = round_trip(m.sent, beat, us)
    m = %{m | received: max(m.received, beat.sequence), received_us: us, sent: sent, next_beat: next_beat(m, beat, now)}
    {%{m | heard_at: now}, [{:heard, %{sequence: beat.sequence, round_trip_us: trip}}]}
  end

  defp message(m, {:state, standing}, _us, _now), do: {m, [{:standing, standing}]}
  defp message(m, {:event, event}, _us, _now), do: {m, [{:event, event}]}
  defp message(m, nil, _us, _now), do: {m, []}

  # What is overdue is not put off: the daemon may have spoken because of that.
  defp next_beat(m, %{next: next}, now) when next == nil or now >= m.next_beat, do: m.next_beat
  # A millisecond late rather than early: it would miss the moment of the others.
  defp next_beat(m, %{next: next}, now),
    do: now + (div(microseconds(next) + 999, 1000) |> max(div(m.interval, 2)) |> min(m.interval))

  # Each of our beats is measured once, by the first answer to it.
  defp round_trip(sent, beat, us) do
    case List.keyfind(sent, beat.answers, 0) do
      nil ->
        {nil, sent}

      {number, at} ->
        trip = max(us - at - microseconds(beat.held), 0)
        {trip, Enum.reject(sent, fn {other, _} -> other <= number end)}
    end
  end

  defp tick(m, load, us, now) do
    late = now - wake_at(m)
    # We were not there: what the daemon said meanwhile is still on its way to us.
    m = if late > m.interval, do: %{m | heard_at: m.heard_at + late}, else: m
    {m, effects} = if now >= m.next_beat, do: beat(m, load, us, now), else: {m, []}
    silent = now - m.heard_at

    cond do
      silent >= m.ttl -> closed(m, {:silent, silent}, now, effects ++ [:hang_up])
      silent >= warn_after(m) and not m.warned -> {%{m | warned: true}, effects ++ [{:missed, silent}]}
      true -> {m, effects}
    end
  end

  defp beat(m, load, us, now) do
    sequence = m.sequence + 1
    held = if m.received > 0, do: duration(max(us - m.received_us, 0))
    beat = %Beat{sequence: sequence, answers: m.received, held: held, load: load}
    sent = Enum.take([{sequence, us} | m.sent], @unanswered_max)
    m = %{m | sequence: sequence, sent: sent, next_beat: now + max(div(m.interval * 3, 4), 1)}
    {m, [{:send, encode({:beat, beat})}, {:beat_sent, %{sequence: sequence, load: load}}]}
  end

  defp silence_at(%{warned: true} = m), do: m.heard_at + m.ttl
  defp silence_at(m), do: m.heard_at + min(warn_after(m), m.ttl)
  defp warn_after(m), do: div(m.interval * 3, 2)

  defp closed(m, why, now, effects) do
    m = %{m | failures: m.failures + 1}
    lost = if m.phase == :attached, do: [{:lost, why}], else: []

    case verdict(why, m) do
      :again ->
        {m, opened} = open(m, now)
        {m, effects ++ lost ++ opened}

      {:rest, pause, told} ->
        {%{m | phase: :resting, wake_at: now + pause}, effects ++ lost ++ told}
    end
  end

  # The lease is over, and the daemon is there: nothing to wait for. More than once in a row is a reason to rest.
  defp verdict(%Sidewinder.Error{reason: reason}, %{failures: 1}) when reason in [:lease_expired, :stale_epoch],
    do: :again

  defp verdict(%Sidewinder.Error{code: :unimplemented}, _m), do: {:rest, @pause_refused, [:unsupported]}

  defp verdict(%Sidewinder.Error{reason: reason} = error, _m)
       when reason in [:other_mode, :bad_request, :too_many_clients, :permission_denied, :unauthenticated],
       do: {:rest, @pause_refused, [{:refused, error, @pause_refused}]}

  defp verdict(why, m), do: {:rest, pause(m), if(m.phase == :opening, do: [{:refused, why, pause(m)}], else: [])}

  # Doubled each time; the run says by how much of it, so that clients that were cut off together do not come back together.
  defp pause(m) do
    whole = min(@pause_min * Bitwise.bsl(1, min(m.failures - 1, 10)), @pause_max)
    div(whole, 2) + rem(:erlang.phash2({m.hello.run, m.failures}), div(whole, 2) + 1)
  end

  defp encode(part), do: FromClient.encode(%FromClient{part: part})

  defp milliseconds(nil, usual), do: usual
  defp milliseconds(duration, _usual), do: duration.seconds * 1000 + div(duration.nanos, 1_000_000)

  defp microseconds(nil), do: 0
  defp microseconds(duration), do: duration.seconds * 1_000_000 + div(duration.nanos, 1000)

  defp duration(us), do: %Duration{seconds: div(us, 1_000_000), nanos: rem(us, 1_000_000) * 1000}
end
