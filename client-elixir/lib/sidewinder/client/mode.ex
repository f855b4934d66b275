defmodule Sidewinder.Client.Mode do
  @moduledoc """
  Who starts the daemon, and what the end of this BEAM means to it.

  | mode | who starts it | when this BEAM is gone |
  |---|---|---|
  | `:coupled` | this client, as a port; its standard input is the lifeline | everything dies at once |
  | `:supervised` | systemd or another init | its calls are released |
  | `:independent` | systemd, Kubernetes, or a hand | calls go on |
  | `:distributed` | Kubernetes or Nomad, on other machines | calls go on; calls are fenced |

  In all but `:coupled` this library connects, waits, and starts nothing. The mode is said to the daemon, which refuses a
  client that believes it to be in another one.

  Several addresses, or a name that may mean several, are several daemons. Each grants a lease of its own, and a call is made
  under the lease of the daemon that it goes to. What a daemon keeps is known to that one only: workers of a session, calls
  by their keys; `Sidewinder.result/2` asks all of them.

  `:auto` picks one and says why: with `daemon:` options it is `:coupled`; with an address of another machine
  `:distributed`; otherwise it goes by whatever the daemon says of itself.
  """

  alias Sidewinder.Daemon.Place
  alias Sidewinder.Options.Address

  @enforce_keys [:name, :why, :endpoints]
  defstruct [:name, :why, :endpoints, daemon: nil]

  @type t :: %__MODULE__{
          name: :any | :coupled | :supervised | :independent | :distributed,
          why: String.t(),
          endpoints: [tuple],
          daemon: nil | map
        }

  @doc "The mode that these options mean, or every reason why there is none."
  @spec choose(map) :: {:ok, t} | {:error, [String.t()]}
  def choose(%{mode: :auto} = options) do
    cond do
      options.daemon != [] and options.address == nil ->
        coupled(options, "there are options for a daemon, and no address")

      options.address != nil and not local?(options.address) ->
        connected(options, :distributed, "its address is on another machine")

      true ->
        connected(options, :any, "whatever the daemon at #{places(options.address)} says")
    end
  end

  def choose(%{mode: :coupled} = options), do: coupled(options, "it was asked for")
  def choose(%{mode: mode} = options), do: connected(options, mode, "it was asked for")

  defp connected(%{daemon: [_ | _]}, mode, _why) do
    {:error, ["daemon: in mode #{inspect(mode)} nothing is started here; leave it out, or use mode: :coupled"]}
  end

  defp connected(options, mode, why) do
    {:ok, endpoints} = Address.all(options.address)
    {:ok, %__MODULE__{name: mode, why: why, endpoints: endpoints}}
  end

  defp coupled(options, why) do
    with :ok <- one_socket(options.address),
         {:ok, daemon} <- Place.daemon(options.name, options.daemon, options.address) do
      {:ok, %__MODULE__{name: :coupled, why: why, endpoints: [{:unix, daemon.socket}], daemon: daemon}}
    end
  end

  defp one_socket(nil), do: :ok

  defp one_socket(address) do
    case Address.all(address) do
      {:ok, [{:unix, _}]} -> :ok
      _ -> {:error, ["address: a daemon of our own listens on one unix socket: name a path, or nothing"]}
    end
  end

  defp local?(address) do
    {:ok, endpoints} = Address.all(address)
    Enum.all?(endpoints, &Address.local?/1)
  end

  defp places(address) do
    {:ok, endpoints} = Address.all(address)
    Enum.map_join(endpoints, ", ", &Address.text/1)
  end

  @doc "Whether there may be more than one daemon behind these addresses."
  @spec several?(t) :: boolean
  def several?(%__MODULE__{endpoints: [endpoint]}), do: elem(endpoint, 0) in [:dns, :srv]
  def several?(%__MODULE__{}), do: true

  @doc "The mode as it is said in a hello. Empty: any."
  @spec word(t) :: String.t()
  def word(%__MODULE__{name: :any}), do: ""
  def word(%__MODULE__{name: name}), do: Atom.to_string(name)
end
