defmodule Sidewinder.Lease.Bell do
  @moduledoc """
  Who is told what happens to a lease: telemetry, the log, and listeners.

  It stands between the lease and all of them, so that no handler, no logger and nobody who subscribes, is slow or dies can
  hold up a heartbeat. The lease never waits for it: of what it has not told yet, 10,000 things are kept, and what comes
  then is dropped and counted. A listener with more than 10,000 messages in its mailbox hears nothing until it has caught
  up, and is then told by `:lost` how much it has missed.
  """

  use GenServer

  alias Sidewinder.Client
  alias Sidewinder.Lease.Report

  @mailbox_max 10_000
  @untold_max 10_000
  # Places in the shared count.
  @given 1
  @told 2
  @dropped 3

  @doc false
  def child_spec(client), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [client]}}

  @doc false
  @spec start_link(Client.t()) :: GenServer.on_start()
  def start_link(client), do: GenServer.start_link(__MODULE__, client, name: Client.part(client.name, :Bell))

  @doc "The calling process hears from now on. Said twice is as said once."
  @spec subscribe(Client.t()) :: :ok | {:error, Sidewinder.Error.t()}
  def subscribe(client), do: GenServer.call(Client.part(client.name, :Bell), {:subscribe, self()})

  @doc "The calling process hears no more."
  @spec unsubscribe(Client.t()) :: :ok
  def unsubscribe(client), do: GenServer.call(Client.part(client.name, :Bell), {:unsubscribe, self()})

  @doc "A count of what was given and told, to be shared."
  @spec count() :: :counters.counters_ref()
  def count, do: :counters.new(3, [])

  @doc "Tells everybody. Never waits."
  @spec ring(Client.t(), term) :: :ok
  def ring(client, happening) do
    if :counters.get(client.count, @given) - :counters.get(client.count, @told) < @untold_max do
      :counters.add(client.count, @given, 1)
      GenServer.cast(Client.part(client.name, :Bell), {:ring, client.at, happening})
    else
      :counters.add(client.count, @dropped, 1)
    end
  end

  @impl true
  def init(client) do
    # What was given before a stop is told before the end.
    Process.flag(:trap_exit, true)
    :counters.put(client.count, @told, :counters.get(client.count, @given))
    {:ok, %{client: client, name: client.name, max: client.options.subscribers_max, listeners: %{}}}
  end

  @impl true
  def handle_call({:subscribe, pid}, _from, state) do
    cond do
      is_map_key(state.listeners, pid) -> {:reply, :ok, state}
      map_size(state.listeners) >= state.max -> {:reply, {:error, full(state)}, state}
      true -> {:reply, :ok, put_in(state.listeners[pid], %{monitor: Process.monitor(pid), lost: 0})}
    end
  end

  def handle_call({:unsubscribe, pid}, _from, state), do: {:reply, :ok, drop(state, pid)}

  @impl true
  def handle_cast({:ring, at, happening}, state) do
    :counters.add(state.client.count, @told, 1)

    case Report.happened(Client.at(state.client, at), happening) do
      nil ->
        {:noreply, state}

      event ->
        {:noreply, %{state | listeners: Map.new(state.listeners, &tell(&1, missed(event, state.client), state.name))}}
    end
  end

  # What was dropped here is missing to everybody.
  defp missed(event, client) do
    dropped = :counters.get(client.count, @dropped)
    :counters.sub(client.count, @dropped, dropped)
    Map.update(event, :lost, dropped, &(&1 + dropped))
  end

  @impl true
  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state), do: {:noreply, drop(state, pid)}
  def handle_info(_other, state), do: {:noreply, state}

  defp drop(state, pid) do
    case Map.pop(state.listeners, pid) do
      {nil, _} ->
        state

      {listener, rest} ->
        Process.demonitor(listener.monitor, [:flush])
        %{state | listeners: rest}
    end
  end

  defp tell({pid, listener}, event, name) do
    if behind?(pid) do
      {pid, %{listener | lost: listener.lost + 1}}
    else
      send(pid, {:sidewinder, name, %{event | lost: event.lost + listener.lost}})
      {pid, %{listener | lost: 0}}
    end
  end

  # The mailbox of a process elsewhere cannot be seen.
  defp behind?(pid) when node(pid) == node() do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, waiting} -> waiting > @mailbox_max
      nil -> true
    end
  end

  defp behind?(_pid), do: false

  defp full(state) do
    %Sidewinder.Error{
      reason: :resource_exhausted,
      code: :resource_exhausted,
      ran: :no,
      message: "#{state.max} processes listen already: raise subscribers_max, or let one listen for the others"
    }
  end
end
